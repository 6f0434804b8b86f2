"""The sections of the report in their order; a new figure is one line in one of the lists."""

from fedspike.report.sections.accuracy import ACCURACY
from fedspike.report.sections.answer import ANSWER
from fedspike.report.sections.energy_bill import ENERGY_BILL
from fedspike.report.sections.founding_study import FOUNDING_STUDY
from fedspike.report.sections.record import DEVICES, REPRODUCE, RUNS
from fedspike.report.sections.section import Section
from fedspike.report.sections.training import PARTITION, SPIKES, VARIANTS, WEIGHTS

SECTIONS: tuple[Section, ...] = (
    *(ANSWER, VARIANTS, ACCURACY, ENERGY_BILL, FOUNDING_STUDY),
    *(SPIKES, WEIGHTS, PARTITION, DEVICES, RUNS, REPRODUCE),
)
