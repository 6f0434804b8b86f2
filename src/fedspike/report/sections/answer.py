"""Which network to choose, and what that does not say."""

from fedspike.report.figures.findings import FINDINGS
from fedspike.report.figures.headline import HEADLINE
from fedspike.report.figures.limits import LIMITS
from fedspike.report.figures.price_matrix import PRICE_MATRIX
from fedspike.report.sections.section import Part, Section

ANSWER = Section(
    "verdict",
    "Verdict",
    (
        Part((HEADLINE, PRICE_MATRIX, FINDINGS)),
        Part((LIMITS,), "What this does not say"),
    ),
)
