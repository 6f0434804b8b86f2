"""The sections of the report in their order; a new figure is one line in one of them."""

from fedspike.report.figures import (
    accuracy,
    accuracy_spent,
    answer,
    client_sizes,
    confusions,
    costs,
    data_per_client,
    decision,
    device_cost,
    device_work,
    energy_shares,
    energy_spent,
    firing_rates,
    founding_study,
    glossary,
    measured,
    methods,
    neurobench_table,
    one_price,
    price_tables,
    ranking,
    record,
    robustness,
    sizes,
    spike_rasters,
    synaptic_operations,
    thresholds,
    variants,
    verdicts,
    weights,
)
from fedspike.report.figures.figure import Figure, Part, Section

FORWARD_PASS = (
    "The first level counts the synaptic operations of one forward pass. A conventional network does one "
    "multiply-accumulate for each connection; a spiking network does one accumulate for each connection "
    "that a spike crosses, at each time step. The next levels add the arithmetic of neurons and encoder, "
    "memory, training and the radio."
)

ON_DEVICES = (
    "These runs were trained on real devices, or on nodes that stand for them, through Flower."
)
FILES = (
    "The folder of each run has its whole configuration; tables/ and figures/ have those of this page "
    "as files."
)
ANSWER = (
    Part(
        (
            *(decision.HEADLINE, decision.IN_SHORT, methods.METHODS_TABLE, accuracy.ACCURACY_TABLE),
            *(verdicts.PRICE_MATRIX, answer.FINDINGS),
        )
    ),
    Part((answer.LIMITS,), "What this does not say", folded=True),
)
BILL = (
    Part((energy_shares.ENERGY_LEVELS, energy_shares.ENERGY_PARTS, energy_shares.PARTS_TABLE)),
    Part(
        (energy_spent.ACCURACY_ENERGY, energy_spent.EQUAL_TABLE, energy_spent.TARGET_TABLE),
        "Energy for an accuracy",
    ),
    Part((device_cost.DEVICE_COST_TABLE,), "On a device"),
    Part((measured.MEASURED_TABLE,), "Measured energy of the simulation"),
    Part(
        (synaptic_operations.SYNAPTIC_OPERATIONS,),
        *("How synaptic operations are counted and priced", FORWARD_PASS, True),
    ),
    Part(
        (verdicts.RIVALS_TABLE, verdicts.OTHER_RIVALS, verdicts.VERDICT_TABLE),
        *("Other conventional rivals, and all numbers", "", True),
    ),
    Part(
        (
            *(one_price.SENSITIVITY_CHART, one_price.SENSITIVITY_TABLE),
            *(thresholds.SPIKE_THRESHOLDS, thresholds.THRESHOLDS_TABLE),
            thresholds.BREAK_EVEN_TABLE,
        ),
        *("What the verdict depends on: each price, and the spikes", "", True),
    ),
    Part(
        (
            *(neurobench_table.NEUROBENCH_TABLE, price_tables.PRICE_SOURCES),
            *(price_tables.NOT_PRICED_TABLE, price_tables.ALL_BILLS),
        ),
        *("Prices and their sources, and NeuroBench’s metrics", "", True),
    ),
)
FOUNDING_STUDY = (
    Part((founding_study.PRINTED_ACCURACY,)),
    Part(
        (founding_study.PRINTED_CURVES, founding_study.PRINTED_ENERGY, founding_study.SUMMARY),
        *("Its curves, its energy, and two slips in its numbers", "", True),
    ),
)
REPRODUCE = (
    Part((record.COMMAND, record.CITATION), introduction=FILES),
    Part(
        (
            *(record.DATA_FILES, record.CONFIGURATION, record.CONFIGURATION_DIFFERENCES),
            *(record.MODELS_TABLE, record.VERSIONS),
        ),
        *("Configuration, environment and hashes", "", True),
    ),
)


def _of(
    anchor: str, heading: str, *figures: Figure, folds: str = "", introduction: str = ""
) -> Section:
    """A section of one part; or of its first figure, and the others behind the words `folds`."""
    if not folds:
        return Section(anchor, heading, (Part(figures, introduction=introduction),))
    return Section(anchor, heading, (Part(figures[:1]), Part(figures[1:], folds, folded=True)))


SECTIONS: tuple[Section, ...] = (
    Section("answer", "Answer", ANSWER),
    _of(
        *("side-by-side", "Side by side", methods.METHODS_ANSWER),
        *(methods.METHODS_CHART, ranking.RANKS_CHART),
        *(methods.TESTS_TABLE, costs.COSTS_TABLE),
        *(costs.EQUAL_METHODS_TABLE, ranking.RANKS_TABLE),
    ),
    _of(
        *("variants", "Networks compared", variants.PARETO_CHART, variants.VARIANTS_TABLE),
        folds="All networks",
    ),
    _of(
        "accuracy",
        "Accuracy",
        accuracy.ACCURACY_CURVES,
        accuracy_spent.ACCURACY_SPENT,
        sizes.SIZES_TABLE,
    ),
    _of(
        *("classes", "Classes and clients", confusions.CONFUSION_CHART),
        *(confusions.CLIENTS_TABLE, confusions.CLASSES_TABLE),
        folds="Accuracy of each client and of each class",
    ),
    _of(
        *("robustness", "Noise and blur"),
        *(robustness.ROBUSTNESS_CHART, robustness.ROBUSTNESS_TABLE),
        folds="The same as numbers",
    ),
    Section("bill", "Energy bill", BILL),
    Section("founding-study", "Founding study", FOUNDING_STUDY),
    _of("spiking", "Spikes", spike_rasters.SPIKE_RASTERS, firing_rates.FIRING_RATES),
    _of(
        *("weights", "Weights", weights.WEIGHT_IMAGES, weights.SHARPNESS_TABLE),
        folds="Their sharpness",
    ),
    _of(
        "partition",
        "Data per client",
        client_sizes.CLIENT_SIZES,
        data_per_client.DATA_PER_CLIENT,
        data_per_client.SAMPLES_PER_CLIENT,
    ),
    _of(
        "real-devices",
        "Devices",
        device_work.DEVICE_WORK,
        device_work.ROUND_TIME,
        introduction=ON_DEVICES,
    ),
    Section(
        *("runs", "All runs"),
        (Part((record.RUNS_TABLE,), "Accuracy, energy, bytes and seconds of each run", "", True),),
    ),
    Section("reproduce", "Reproduce", REPRODUCE),
    Section(
        *("words", "Words"),
        (Part((glossary.GLOSSARY,), "What the words of this page mean", folded=True),),
    ),
)
