"""The tables of the report: the founding study's, with its figures beside ours, and the rest."""

from collections.abc import Callable, Sequence

from fedspike.energy.bill import prices_pj
from fedspike.energy.estimate import Estimate
from fedspike.records.schema import Dataset, RunSummary
from fedspike.report import founding_study
from fedspike.report.comparison import (
    Comparison,
    Group,
    Setting,
    energy_ratio_percent,
    flat,
    gap_points,
    groups_of,
)
from fedspike.report.tables import Cell, Column, Table

TWINS = {"ann": "ANN", "snn": "SNN"}
NETWORKS = {**TWINS, "qann": "Quantised ANN"}
SHORT = {**TWINS, "qann": "qANN"}
SETTING = Column("setting", "each client holds", is_text=True)


def deviations(dataset: Dataset | None, runs: Sequence[RunSummary]) -> list[str]:
    """In what the runs differ from the founding study's protocol, in words; empty if in nothing.

    What the study does not state (time steps, batch size, learning rate) is no deviation.
    """
    found = []
    if dataset and dataset.name != founding_study.DATASET:
        found.append(f"the data set is {dataset.name}, not {founding_study.DATASET}")
    expected: list[tuple[str, Callable[[RunSummary], object], object]] = [
        ("rounds", lambda run: len(run.accuracy), founding_study.ROUNDS),
        ("samples a round", lambda run: run.samples_per_round, founding_study.SAMPLES_PER_ROUND),
        ("neurons", lambda run: "-".join(map(str, run.layers)), founding_study.LAYERS),
        (
            "code",
            lambda run: flat(run.config).get("code.kind", founding_study.CODE),
            founding_study.CODE,
        ),
        (
            "read-out",
            lambda run: flat(run.config).get("snn.read_out", founding_study.READ_OUT),
            founding_study.READ_OUT,
        ),
    ]
    for what, of, theirs in expected:
        ours = dict.fromkeys(of(run) for run in runs if of(run) != theirs)
        if ours:
            found.append(f"{what}: {', '.join(map(_said, ours))} instead of {_said(theirs)}")
    return found


def _said(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def interval_note(groups: Sequence[Group]) -> str:
    """What stands behind the figures of these groups: one seed, or several with an interval."""
    counts = sorted({len(group.runs) for group in groups})
    if counts == [1]:
        return "One seed: these figures carry no interval."
    seeds = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return (
        f"Mean over {seeds} seeds ± half of Student’s 95 % interval; "
        "differences are taken within a seed. A figure without ± comes from one seed, or is the "
        "same for all."
    )


def accuracy_table(comparisons: Sequence[Comparison], protocol: Sequence[str]) -> Table:
    """The study's Table 1: final accuracy, ours and printed."""
    columns = [SETTING]
    for network, name in TWINS.items():
        columns += [
            Column(f"{network}_last_round_percent", "last round", f"{name}, %", 1),
            Column(f"{network}_mean_last_10_percent", "last 10", f"{name}, %", 1),
            Column(f"{network}_printed_percent", "printed", f"{name}, %"),
            Column(f"{network}_difference_points", "difference", f"{name}, %", 1, signed=True),
        ]
    columns += [
        Column("gap_points", "here", "SNN − ANN, points", 1, signed=True),
        Column("gap_printed_points", "printed", "SNN − ANN, points", 0, signed=True),
    ]
    rows = []
    for comparison in comparisons:
        row: list[Cell] = [comparison.label]
        printed = [printed_accuracy(network, comparison.setting) for network in TWINS]
        for group, theirs in zip((comparison.ann, comparison.snn), printed, strict=True):
            row += _accuracy_cells(group, theirs, compared=not protocol)
        row.append(comparison.paired(gap_points))
        row.append(None if None in printed else (printed[1] or 0) - (printed[0] or 0))
        rows.append(tuple(row))
    notes = [
        "“Last 10” is the mean over the last ten rounds; “difference” is the last round minus the "
        "printed figure, in percentage points.",
        interval_note([group for comparison in comparisons for group in comparison.groups]),
    ]
    if any(comparison.setting.classes_per_client == 4 for comparison in comparisons):
        notes.append(
            "4 classes have no printed figure: the study’s text says 4 where its tables say 5."
        )
    if protocol:
        notes.append(_unlike(protocol))
    return Table(
        1,
        "accuracy",
        "Test accuracy of the global model, beside the founding study’s Table 1",
        tuple(columns),
        tuple(rows),
        tuple(notes),
    )


def operations_table(comparisons: Sequence[Comparison]) -> Table:
    """What was counted, and the price it is multiplied by."""
    prices = prices_pj("founding-study")
    multiply = ("multiply-accumulate", "mac")
    kinds = {"ann": multiply, "snn": ("accumulate", "ac"), "qann": multiply}
    rows: list[tuple[Cell, ...]] = []
    for group in groups_of(comparisons):
        name, kind = kinds[group.network]
        rows.append(
            (
                group.label,
                NETWORKS[group.network],
                name,
                group.estimate(lambda run: run.forward_operations_per_sample),
                prices[kind],
                group.runs[0].samples_per_round,
                group.estimate(lambda run: run.study_energy_mj_per_round),
            )
        )
    return Table(
        2,
        "operations",
        "Counted operations of the forward pass and the founding study’s prices",
        (
            SETTING,
            Column("network", "network", is_text=True),
            Column("operation", "operation", is_text=True),
            Column("operations_per_sample", "per sample"),
            Column("price_pj", "price, pJ", digits=1),
            Column("samples_per_round", "samples a round"),
            Column("energy_mj_per_round", "energy a round, mJ", digits=4),
        ),
        tuple(rows),
        (
            "Operations × price × samples = energy. The SNN’s accumulates are the spikes that "
            "were really there in training, each times the neurons it reaches.",
        ),
    )


def energy_table(comparisons: Sequence[Comparison], protocol: Sequence[str]) -> Table:
    """The study's Table 3: modelled energy of a round, ours and printed."""
    columns = [SETTING]
    for network, name in TWINS.items():
        columns += [
            Column(f"{network}_energy_mj_per_round", "here", f"{name}, mJ", 4),
            Column(f"{network}_printed_mj_per_round", "printed", f"{name}, mJ", 4),
            Column(f"{network}_difference_percent", "diff., %", f"{name}, mJ", 2, signed=True),
        ]
    columns += [
        Column("ratio_percent", "here", "SNN / ANN, %", 2),
        Column("ratio_printed_percent", "printed", "SNN / ANN, %", 2),
        Column("ratio_difference_points", "diff.", "SNN / ANN, %", 2, signed=True),
    ]
    rows = []
    for comparison in comparisons:
        row: list[Cell] = [comparison.label]
        classes = comparison.setting.classes_per_client or 0
        for network in TWINS:
            group = comparison.group(network)
            ours = group.estimate(lambda run: run.study_energy_mj_per_round) if group else None
            theirs = founding_study.PRINTED_ENERGY_MJ[network].get(classes)
            relative = None
            if ours and theirs and not protocol:
                relative = 100 * (ours.mean / theirs - 1)
            row += [ours, theirs, relative]
        ratio = comparison.paired(energy_ratio_percent)
        printed_ratio = founding_study.PRINTED_RATIO_PERCENT.get(classes)
        points = None
        if ratio and printed_ratio and not protocol:
            points = ratio.mean - printed_ratio
        rows.append((*row, ratio, printed_ratio, points))
    notes = [
        "Modelled, forward pass of training only. The printed figures are divided by 1000: "
        "the study’s “mJ” are microjoule.",
        interval_note([group for comparison in comparisons for group in comparison.groups]),
    ]
    return Table(
        3,
        "energy",
        "Modelled energy of a round under the founding rule, beside the study’s Table 3",
        tuple(columns),
        tuple(rows),
        tuple(notes + ([_unlike(protocol)] if protocol else [])),
    )


def other_settings_table(comparisons: Sequence[Comparison]) -> Table:
    """Centralised training and everything else that the founding study has no table for."""
    rows: list[tuple[Cell, ...]] = []
    for comparison in comparisons:
        row: list[Cell] = [comparison.label]
        for group in (comparison.ann, comparison.snn):
            row += _accuracy_cells(group, None, compared=False)[:2]
        ratio = comparison.paired(energy_ratio_percent)
        rows.append((*row, comparison.paired(gap_points), ratio))
    return Table(
        4,
        "other-settings",
        "Centralised training and other settings: test accuracy and modelled energy",
        (
            Column("setting", "setting", is_text=True),
            Column("ann_last_round_percent", "last round", "ANN, %", 1),
            Column("ann_mean_last_10_percent", "last 10", "ANN, %", 1),
            Column("snn_last_round_percent", "last round", "SNN, %", 1),
            Column("snn_mean_last_10_percent", "last 10", "SNN, %", 1),
            Column("gap_points", "accuracy, points", "SNN − ANN", 1, signed=True),
            Column("ratio_percent", "energy, %", "SNN / ANN", 2),
        ),
        tuple(rows),
        (interval_note([group for comparison in comparisons for group in comparison.groups]),),
    )


def sharpness_table(comparisons: Sequence[Comparison]) -> Table:
    """How crisp the weight images are in every setting."""
    return Table(
        5,
        "sharpness",
        "Sharpness of the first layer’s weight images",
        (
            Column("setting", "setting", is_text=True),
            Column("ann_sharpness", "ANN", digits=2),
            Column("snn_sharpness", "SNN", digits=2),
        ),
        tuple((c.label, sharpness_of(c.ann), sharpness_of(c.snn)) for c in comparisons),
        (
            "White noise scores 1, a blank image 0, the clothes of Fashion-MNIST about 1.4: "
            "gradient energy behind a Gaussian of one pixel over the image’s variance "
            "(Geusebroek et al. 2000), mean over neurons, after the last round.",
        ),
    )


def runs_table(runs: Sequence[RunSummary]) -> Table:
    """Every run, with what it was and what it gave."""
    return Table(
        6,
        "runs",
        "All runs",
        (
            Column("run", "run", is_text=True),
            Column("algorithm", "algorithm", is_text=True),
            Column("seed", "seed", is_text=True),
            Column("rounds", "rounds"),
            Column("time_steps", "time steps"),
            Column("last_round_percent", "last round", "accuracy, %", 1),
            Column("mean_last_10_percent", "last 10", "accuracy, %", 1),
            Column("energy_mj_per_round", "mJ a round", digits=4),
            Column("uplink_megabytes_per_round", "up", "MB a round", 2),
            Column("downlink_megabytes_per_round", "down", "MB a round", 2),
            Column("seconds", "seconds"),
        ),
        tuple(
            (
                *(run.name, run.algorithm, str(run.seed), len(run.accuracy), run.time_steps),
                100 * run.final_accuracy,
                *(100 * run.final_accuracy_mean_last_10, run.study_energy_mj_per_round),
                *(run.uplink_bytes_per_round / 1e6, run.downlink_bytes_per_round / 1e6),
                run.seconds,
            )
            for run in runs
        ),
    )


def models_table(runs: Sequence[RunSummary]) -> Table:
    """What to compare after doing it again: equal hashes are equal weights."""
    return Table(
        7,
        "models",
        "The trained models",
        (
            Column("run", "run", is_text=True),
            Column("parameters", "parameters"),
            Column("model_sha256", "SHA-256 of model.safetensors", is_text=True),
        ),
        tuple((run.name, run.parameters, run.model_sha256) for run in runs),
    )


def partition_table(runs: Sequence[RunSummary]) -> Table:
    """Who held how many samples of which class, in every run; for the files, not for the page."""
    return Table(
        8,
        "partition",
        "Who holds what: samples of each class on each client",
        (
            Column("run", "run", is_text=True),
            Column("client", "client"),
            Column("class", "class"),
            Column("samples", "samples"),
        ),
        tuple(
            (run.name, client, label, samples)
            for run in runs
            for client, counts in enumerate(run.class_counts)
            for label, samples in enumerate(counts)
            if samples
        ),
    )


def sharpness_of(group: Group | None) -> Estimate | None:
    """The recorded sharpness of a group's weight images; None where a run recorded none."""
    values = [run.weights.get("sharpness") for run in group.runs] if group else [None]
    if group is None or None in values:
        return None
    return group.estimate(lambda run: run.weights["sharpness"] or 0.0)


def _accuracy_cells(group: Group | None, printed: int | None, *, compared: bool) -> list[Cell]:
    """Last round, mean of the last ten, printed, difference."""
    if group is None:
        return [None, None, printed, None]
    last = group.estimate(lambda run: 100 * run.final_accuracy)
    mean = group.estimate(lambda run: 100 * run.final_accuracy_mean_last_10)
    return [last, mean, printed, last.mean - printed if compared and printed is not None else None]


def printed_accuracy(network: str, setting: Setting) -> int | None:
    """The study's final accuracy in percent, where it has this setting and prints one."""
    if not setting.is_founding:
        return None
    classes = setting.classes_per_client or 0
    return founding_study.PRINTED_ACCURACY_PERCENT.get(network, {}).get(classes)


def _unlike(protocol: Sequence[str]) -> str:
    return (
        f"The printed figures belong to another protocol ({'; '.join(protocol)}), so no differences "
        "to them are given."
    )
