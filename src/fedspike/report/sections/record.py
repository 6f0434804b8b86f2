"""What was run, on what, and how to run it again."""

from fedspike.report.figures.configuration import CONFIGURATION
from fedspike.report.figures.configuration_differences import CONFIGURATION_DIFFERENCES
from fedspike.report.figures.data_files import DATA_FILES
from fedspike.report.figures.device_work import DEVICE_WORK
from fedspike.report.figures.models_table import MODELS_TABLE
from fedspike.report.figures.reproduce import COMMAND
from fedspike.report.figures.round_time import ROUND_TIME
from fedspike.report.figures.runs_table import RUNS_TABLE
from fedspike.report.figures.versions import VERSIONS
from fedspike.report.sections.section import Part, Section

ON_DEVICES = (
    "These runs were trained on real devices, or on nodes that stand for them, through Flower."
)
FILES = (
    "The folder of each run contains its whole configuration, config.toml. The tables of this page are "
    "stored beside it as CSV, Markdown and LaTeX in tables/, the figures as SVG and PDF in figures/."
)

DEVICES = Section("real-devices", "Devices", (Part((DEVICE_WORK, ROUND_TIME), "", ON_DEVICES),))
RUNS = Section("runs", "All runs", (Part((RUNS_TABLE,)),))
REPRODUCE = Section(
    "reproduce",
    "Reproduce",
    (
        Part((COMMAND,)),
        Part(
            (DATA_FILES, CONFIGURATION, CONFIGURATION_DIFFERENCES, MODELS_TABLE, VERSIONS),
            "",
            FILES,
        ),
    ),
)
