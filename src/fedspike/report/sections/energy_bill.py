"""What the training of each network costs, under which prices, and why."""

from fedspike.report.figures.accuracy_energy import ACCURACY_ENERGY
from fedspike.report.figures.all_bills import ALL_BILLS
from fedspike.report.figures.break_even_table import BREAK_EVEN_TABLE
from fedspike.report.figures.energy_levels import ENERGY_LEVELS
from fedspike.report.figures.energy_parts import ENERGY_PARTS
from fedspike.report.figures.measured_table import MEASURED_TABLE
from fedspike.report.figures.neurobench_table import NEUROBENCH_TABLE
from fedspike.report.figures.not_priced_table import NOT_PRICED_TABLE
from fedspike.report.figures.other_rivals import OTHER_RIVALS
from fedspike.report.figures.parts_table import PARTS_TABLE
from fedspike.report.figures.price_sources import PRICE_SOURCES
from fedspike.report.figures.rivals_table import RIVALS_TABLE
from fedspike.report.figures.sensitivity_chart import SENSITIVITY_CHART
from fedspike.report.figures.sensitivity_table import SENSITIVITY_TABLE
from fedspike.report.figures.spike_thresholds import SPIKE_THRESHOLDS
from fedspike.report.figures.synaptic_operations import SYNAPTIC_OPERATIONS
from fedspike.report.figures.target_table import TARGET_TABLE
from fedspike.report.figures.thresholds_table import THRESHOLDS_TABLE
from fedspike.report.figures.verdict_table import VERDICT_TABLE
from fedspike.report.sections.section import Part, Section

FORWARD_PASS = (
    "The first level counts the synaptic operations of one forward pass. A conventional network does one "
    "multiply-accumulate for each connection; a spiking network does one accumulate for each connection "
    "that a spike crosses, at each time step. The next levels add the arithmetic of neurons and encoder, "
    "memory, training and the radio."
)

ENERGY_BILL = Section(
    "bill",
    "Energy bill",
    (
        Part((SYNAPTIC_OPERATIONS,), introduction=FORWARD_PASS),
        Part((RIVALS_TABLE, OTHER_RIVALS, VERDICT_TABLE), "Conventional rivals"),
        Part((ENERGY_LEVELS, ENERGY_PARTS, PARTS_TABLE), "Where the energy goes"),
        Part((ACCURACY_ENERGY, TARGET_TABLE), "Energy for an accuracy"),
        Part(
            (
                *(SENSITIVITY_CHART, SENSITIVITY_TABLE),
                *(SPIKE_THRESHOLDS, THRESHOLDS_TABLE, BREAK_EVEN_TABLE),
            ),
            "What the verdict depends on",
        ),
        Part((NEUROBENCH_TABLE,), "Other metrics"),
        Part((MEASURED_TABLE,), "Measured energy of the simulation"),
        Part((PRICE_SOURCES, NOT_PRICED_TABLE, ALL_BILLS), "Prices and their sources"),
    ),
)
