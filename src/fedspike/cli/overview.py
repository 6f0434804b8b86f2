"""A fleet's status as text to read."""

from collections.abc import Iterator, Sequence

from fedspike.cli.columns import table, wrapped
from fedspike.cli.progress import clock
from fedspike.federation.client_numbers import spelled
from fedspike.records.fleet_status import Knocking, NodeStatus, RunStatus, Status
from fedspike.shell import command

HEADER = ("", "", "seen", "clients", "samples", "rounds", "failed", "samples/s")


def text(status: Status, folder: str) -> str:
    """The training, its runs, a line for each node, and what is wrong with whom."""
    lines = [f"training: {status.training}", *_away(status)]
    lines += table(["", "rounds", "accuracy", "newest round"], [_run(run) for run in status.runs])
    lines += [line for run in status.runs if run.run == status.run for line in _parts(run)]
    if status.waiting:
        lines += wrapped(status.waiting)
    if status.nodes:
        lines += ["", *table(HEADER, [_node(node) for node in status.nodes], names=2)]
    lines += _joules(status.nodes)
    lines += [line for node in status.nodes for line in _wrong(node)]
    if status.knocking:
        lines += ["", *knocking(status.knocking, folder)]
    return "\n".join([*lines, ""])


def _away(status: Status) -> Iterator[str]:
    if status.server_away is not None:
        yield from wrapped(f"the server does not answer: {status.server_away}")
        yield f"  usual fix: {status.server_fix}"


def _run(run: RunStatus) -> list[str]:
    accuracy = "" if run.accuracy is None else f"{run.accuracy:.1%}"
    seconds = f"{sum(run.seconds.values()):.1f} s" if run.seconds else ""
    return [_short(run.run, 60), f"{run.rounds_done}/{run.rounds}", accuracy, seconds]


def _parts(run: RunStatus) -> Iterator[str]:
    if run.seconds:
        parts = ", ".join(f"{part} {spent:.1f} s" for part, spent in run.seconds.items())
        yield from wrapped(f"the newest round of {run.run}: {parts}")


def _node(node: NodeStatus) -> list[str]:
    there = {None: "", True: "online", False: "away"}[node.online]
    ago = "" if node.seconds_ago is None else f"{clock(node.seconds_ago)} ago"
    speed = node.samples_per_second
    return [
        _short(node.node),
        "revoked" if node.revoked else "refused" if node.refused else there,
        *(ago, spelled(node.clients), f"{sum(node.samples.values()):,}" if node.samples else ""),
        *(str(node.rounds), str(node.failed)),
        "" if speed is None else f"{speed:,.0f}",
    ]


def _joules(nodes: Sequence[NodeStatus]) -> Iterator[str]:
    """What was measured, a column for each sensor: what they count may overlap, so it is not added up."""
    sensors = sorted({sensor for node in nodes for sensor in node.joules})
    if sensors:
        yield from ("", "Joules that the sensors of the nodes counted while these trained:")
        rows = [
            [
                _short(node.node),
                *(f"{node.joules[s]:,.0f}" if s in node.joules else "" for s in sensors),
            ]
            for node in nodes
            if node.joules
        ]
        yield from table(["", *sensors], rows)


def _short(name: str, most: int = 24) -> str:
    return name if len(name) <= most else f"{name[: most - 3]}..."


def knocking(knocks: Sequence[Knocking], folder: str) -> Iterator[str]:
    """Who asks to be let in, and how that is done."""
    yield "Nodes that ask to be let in; the code is what the device shows, too:"
    rows = [
        [
            *(knock.code, _short(knock.name or "(no name)"), _short(knock.address, 40)),
            f"{clock(knock.seconds_ago)} ago",
        ]
        for knock in knocks
    ]
    yield from table(["code", "name", "address", "asked"], rows, names=3)
    yield f"  to let one in: {command('fleet', 'admit', folder, 'CODE')}"


def _wrong(node: NodeStatus) -> Iterator[str]:
    if node.refused and node.refused_since:
        since = f"{node.refused_since.astimezone():%Y-%m-%d %H:%M:%S}"
        yield from wrapped(f"{node.node} takes no part since {since}: {node.refused}")
    elif (last := node.last_failure) and not last.mended:
        rounds = f"round {last.round}"
        if last.since < last.round:
            rounds = f"rounds {last.since} to {last.round}"
        yield from wrapped(f"{node.node}, {last.run} {rounds}: {last.reason}")
