"""The words of the page that not every reader knows."""

from fedspike.report.analysis.results import Results
from fedspike.report.figures.figure import Figure
from fedspike.report.rendering.tables import Caption, Table, table, words

WORDS = {
    "ANN, SNN": (
        "the conventional network and the spiking one. An SNN is shown a sample for T time steps; its "
        "neurons send spikes, which are 0 or 1, to each other."
    ),
    "round": (
        "some clients train the global model on their own data, and the server joins what they send."
    ),
    "client": ("a device of the fleet, with data of its own."),
    "accuracy": (
        "the share of the test samples, which nobody trains on, that the global model has right; where each "
        "client ends with a model of its own, each of them is tested on a part, as the tables say."
    ),
    "point": ("a hundredth of all test samples: from 80 % to 81 % is one point."),
    "seed": (
        "runs that differ in the seed alone differ by chance alone: in initial weights, in the order "
        "of the samples, and in who has which."
    ),
    "interval, ±": (
        "a 95 % interval over the seeds, Student’s or, in brackets, BCa’s by bootstrap: about 19 of 20 such "
        "intervals have the true mean in them."
    ),
    "p": ("how often chance alone would make two equal methods differ this much or more."),
    "Holm’s method": (
        "makes p larger where many comparisons are made, so that in 19 of 20 pages none is wrongly "
        "called significant."
    ),
    "price table": (
        "the energy of each operation on some hardware, with its source. Energies are counted "
        "operations times such prices; none is measured on that hardware."
    ),
    "synaptic operation": (
        "a multiply-accumulate for each connection (ANN), or an accumulate for each connection that a "
        "spike crosses (SNN)."
    ),
    "hardware that skips zeros": (
        "does no work for a product with a value that is 0, as after a ReLU."
    ),
    "memory, training": (
        "levels of the bill: reads and writes of memory; the backward pass, the optimiser, and the "
        "server’s sums. Each level includes those before it."
    ),
    "duty": (
        "how often a device infers and trains, and what battery, speed and idle power it has for that."
    ),
    "firing rate": ("the share of a layer’s neurons that spike at a time step."),
    "IID": ("each client’s data are drawn from all classes alike."),
}


def _table(_: Results) -> Table:
    return table(WORDS.items(), words("word"), words("meaning", form="long"))


GLOSSARY = Figure("words", _table, Caption("What the words of this page mean"), number="13")
