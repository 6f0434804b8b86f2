"""The networks that were trained, and the data that they were trained on."""

from fedspike.report.figures.data_per_client import DATA_PER_CLIENT
from fedspike.report.figures.firing_rates import FIRING_RATES
from fedspike.report.figures.pareto import PARETO_CHART
from fedspike.report.figures.samples_per_client import SAMPLES_PER_CLIENT
from fedspike.report.figures.sharpness_table import SHARPNESS_TABLE
from fedspike.report.figures.spike_rasters import SPIKE_RASTERS
from fedspike.report.figures.variants_table import VARIANTS_TABLE
from fedspike.report.figures.weight_images import WEIGHT_IMAGES
from fedspike.report.sections.section import Part, Section

VARIANTS = Section("variants", "Networks compared", (Part((PARETO_CHART, VARIANTS_TABLE)),))
SPIKES = Section("spiking", "Spikes", (Part((SPIKE_RASTERS, FIRING_RATES)),))
WEIGHTS = Section("weights", "Weights", (Part((WEIGHT_IMAGES, SHARPNESS_TABLE)),))
PARTITION = Section("partition", "Data per client", (Part((DATA_PER_CLIENT, SAMPLES_PER_CLIENT)),))
