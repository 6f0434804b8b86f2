"""How accurate the networks are, and how much a forward pass costs."""

from fedspike.report.figures.accuracy_curves import ACCURACY_CURVES
from fedspike.report.figures.accuracy_table import ACCURACY_TABLE
from fedspike.report.sections.section import Part, Section

ACCURACY = Section("accuracy", "Accuracy", (Part((ACCURACY_TABLE, ACCURACY_CURVES)),))
