"""What the founding study printed, as far as the report sets our figures beside it.

Its Table 1 gives accuracies in whole percent. Its Table 3 gives the energy of a round in "mJ" that
are microjoule (docs/founding-study.md), so they stand here divided by 1000.
"""

# The study's text says 4 classes where its tables say 5, so 4 has no printed figure.
PRINTED_ACCURACY_PERCENT: dict[str, dict[int, int]] = {
    "ann": {10: 86, 7: 85, 5: 83, 3: 82},
    "snn": {10: 86, 7: 84, 5: 80, 3: 76},
}
PRINTED_ENERGY_MJ: dict[str, dict[int, float]] = {
    "ann": {10: 4.9228, 7: 4.9228, 5: 4.9228, 3: 4.9228},
    "snn": {10: 2.3408, 7: 2.3411, 5: 2.3450, 3: 2.3380},
}
PRINTED_RATIO_PERCENT: dict[int, float] = {10: 47.55, 7: 47.55, 5: 47.63, 3: 47.49}
# Its Table 2: what a multiply-accumulate should have cost; it computed with the multiply's 3.1 pJ.
PRINTED_MAC_PJ = 3.2

DATASET = "fashion-mnist"
LAYERS = "784-100-10"
CODE = "rate"
READ_OUT = "count"
ROUNDS = 100
SAMPLES_PER_ROUND = 20_000
