"""The colours of pages and figures, by what they are for, in light and in dark."""

# Blue for conventional and vermilion for spiking networks, after Okabe and Ito, "Color universal design",
# 2008: they differ for every kind of colour vision. Darkened, or lightened, until both are readable as text.
LIGHT = {
    "paper": "#fffffe",
    "ink": "#1b1f24",
    "muted": "#5d6570",
    "rule": "#dfe2e6",
    "conventional": "#0067a6",
    "spiking": "#b84500",
    "count": "#4a5a6a",
}
DARK = {
    "paper": "#14171b",
    "ink": "#e6e8eb",
    "muted": "#9aa3ad",
    "rule": "#30363d",
    "conventional": "#5cb8f0",
    "spiking": "#f59145",
    "count": "#a9bacb",
}
