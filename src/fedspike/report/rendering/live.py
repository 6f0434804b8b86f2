"""The page that shows experiments while they run: one HTML file that asks its own server for news."""

from fedspike.report.rendering.templating import templates


def live_page(nonce: str) -> str:
    """The page as HTML; its style and its script have this nonce."""
    page: str = templates().get_template("live.html").render(nonce=nonce, most_columns=0)
    return page
