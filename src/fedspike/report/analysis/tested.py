"""What the accuracies of runs are of, in words; other kinds are marked, and compared where that is fair."""

from collections.abc import Iterable

from fedspike.data.partition.likeness import AccuracyOf

OWN_SAMPLES: AccuracyOf = "own models, own samples"
MARK: dict[AccuracyOf, str] = {
    "global model": "global model",
    "own models, own samples": "own models",
    "own models, all samples": "own models, all samples",
}
TESTED: dict[AccuracyOf, str] = {
    "global model": "the one model for all, on all test samples",
    "own models, own samples": (
        "each client’s own model, on the test samples that are like its training samples; the fewer classes "
        "it has, the easier these are"
    ),
    "own models, all samples": "each client’s own model, on test samples dealt evenly to the clients",
}


def comparable(one: AccuracyOf, other: AccuracyOf) -> bool:
    """Whether two accuracies answer the same question.

    The global model is every client's: on samples of all it stands beside models of their own on the same.

    >>> comparable("global model", "own models, all samples")
    True
    >>> comparable("global model", "own models, own samples")
    False
    """
    return one == other or OWN_SAMPLES not in (one, other)


def marked(names: Iterable[str], kinds: Iterable[AccuracyOf]) -> list[str]:
    """The names of what has these accuracies; where they are of several kinds, other than the usual is said.

    >>> marked(["fedavg", "local-only"], ["global model", "own models, own samples"])
    ['fedavg', 'local-only, own models']
    >>> marked(["fedper", "local-only"], ["own models, own samples"] * 2)
    ['fedper', 'local-only']
    """
    each = list(kinds)
    several = len({*each}) > 1
    return [
        f"{name}, {MARK[kind]}" if several and kind != "global model" else name
        for name, kind in zip(names, each, strict=True)
    ]


def title(kinds: Iterable[AccuracyOf]) -> str:
    """What such accuracies are called in the title of a table."""
    different = {*kinds}
    if different == {"global model"}:
        return "Test accuracy of the global model"
    return "Test accuracy" if len(different) > 1 else "Test accuracy of the clients’ own models"


def notes(kinds: Iterable[AccuracyOf]) -> list[str]:
    """What a reader must know of accuracies that are not only of the usual kind.

    >>> notes(["own models, all samples"])
    ['Accuracy: each client’s own model, on test samples dealt evenly to the clients.']
    """
    given = {*kinds}
    different = [kind for kind in TESTED if kind in given]
    if different == ["global model"]:
        return []
    if len(different) == 1:
        return [f"Accuracy: {TESTED[different[0]]}."]
    others = [f"“{MARK[kind]}”: {TESTED[kind]}" for kind in different if kind != "global model"]
    apart = "Accuracies of different kinds are not compared. " if OWN_SAMPLES in different else ""
    return [f"{apart}{'. '.join(others)}."]
