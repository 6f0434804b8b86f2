"""What is watched, as text to read: a table where there is room, else some lines for each run."""

import shlex
import textwrap
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rich.text import Text

from fedspike.cli.columns import aligned
from fedspike.cli.progress import clock, remaining
from fedspike.records.views import ExperimentView, RunView, State, View

HEADER = ("", "", "round", "accuracy", "", "loss", "a round", "left")
STYLES: dict[State, str] = {
    "running": "green",
    "stopped": "bold yellow",
    "finished": "",
    "waiting": "dim",
}
BARS, PLAIN_BARS = "▁▂▃▄▅▆▇█", "_.:-=+*#"
BAR_COUNT = 12
SHORTEST_NAME = 24  # characters of a run's name in a table


class _Block(NamedTuple):
    """Lines that belong together; where there is no room for all, those of the highest rank are left out."""

    rank: int
    lines: list[Text]


def picture(view: View, width: int, height: int | None, bars: str = BARS) -> list[Text]:
    """All of it in lines of so many characters, or what there is room for in so many lines."""
    blocks = [_Block(0, _absent(folder, width)) for folder in view.absent]
    for one in view.experiments:
        blocks += _experiment(one, width, bars)
    kept, hidden = _fitting(blocks, height), len(blocks)
    hidden -= len(kept)
    lines = [line for block in kept for line in block.lines]
    if hidden:
        lines = lines[: (height or 0) - 1]
        lines.append(Text(f"and {hidden} more, in a higher window", "dim"))
    for line in lines:
        line.truncate(width)
    return lines


def sentence(run: RunView) -> str:
    """How a run is, in one line."""
    return f"{shown(run.run)}: {', '.join(_words(run))}"


def headline(one: ExperimentView) -> str:
    """How an experiment is, in one line."""
    finished = sum(run.state == "finished" for run in one.runs)
    words = [f"{shown(one.folder)}: {one.state}"]
    if one.state != "finished":
        words.append(f"{finished} of {len(one.runs)} runs finished")
    else:
        words.append("1 run" if len(one.runs) == 1 else f"{len(one.runs)} runs")
    if one.left is not None:
        words.append(remaining(one.left))
    return ", ".join(words)


def absence(folder: str) -> str:
    """What is said of a folder that holds nothing yet."""
    return f"{shown(folder)}: no experiment there yet, waiting for one"


def shown(text: str) -> str:
    """A name of somebody else's, which must not steer the terminal.

    >>> shown("mine\\x1b[2J")
    'mine?[2J'
    """
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def bars_of(encoding: str) -> str:
    """What an accuracy is drawn with, in this encoding."""
    try:
        BARS.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return PLAIN_BARS
    return BARS


def sparkline(curve: Sequence[tuple[int, float]], bars: str = BARS) -> str:
    """A curve in a few characters, from its lowest value to its highest.

    >>> sparkline([(x, x / 8) for x in range(1, 9)])
    '▁▂▃▄▅▆▇█'
    """
    if len(curve) > BAR_COUNT:
        first, last = curve[0][0], curve[-1][0]
        newest = {BAR_COUNT * (x - first) // (last - first + 1): value for x, value in curve}
        values = [*newest.values()]
    else:
        values = [value for _, value in curve]
    low, high = min(values, default=0.0), max(values, default=0.0)
    span = high - low or 1.0
    return "".join(bars[round((len(bars) - 1) * (value - low) / span)] for value in values)


def _words(run: RunView) -> Iterator[str]:
    yield run.state
    if run.rounds_done:
        yield f"round {run.rounds_done}" + (f" of {run.rounds}" if run.rounds else "")
    elif run.rounds:
        yield f"{run.rounds} rounds"
    if run.accuracy is not None:
        yield f"accuracy {run.accuracy:.1%}"
    if run.loss is not None:
        yield f"loss {run.loss:.3g}"
    if run.round_s is not None:
        yield f"{_seconds(run.round_s)} a round"
    if run.left_s is not None:
        yield f"{clock(run.left_s)} left"
    if run.unread:
        yield "reading on"


def _seconds(seconds: float) -> str:
    return f"{seconds:.2g} s" if seconds < 10 else clock(seconds)


def _absent(folder: str, width: int) -> list[Text]:
    return [Text(line, "dim") for line in textwrap.wrap(absence(folder), width)]


def _experiment(one: ExperimentView, width: int, bars: str) -> Iterator[_Block]:
    over = one.state == "finished"
    head = [Text(line, "bold") for line in textwrap.wrap(headline(one), width)]
    if one.command is not None:
        head += [Text(line) for line in _to_copy(one.command, width)]
    head += [Text(line, "yellow") for line in _remarks(one.remarks, width)]
    rows = [_cells(run, bars) for run in one.runs]
    natural = [*aligned(HEADER, [["", *row[1:]] for row in rows], names=2)] if rows else [""]
    room = width - max(map(len, natural))
    in_table = room >= min(SHORTEST_NAME, max((len(row[0]) for row in rows), default=0))
    if in_table and rows:
        cut = [[_cut(row[0], room), *row[1:]] for row in rows]
        header, *lines = aligned(HEADER, cut, names=2)
        head.append(Text(header, "dim"))
        blocks = [
            [Text(line, STYLES[run.state])] for run, line in zip(one.runs, lines, strict=True)
        ]
    else:
        blocks = [_narrow(run, width, bars) for run in one.runs]
    yield _Block(3 if over else 0, head)
    ranks = {"running": 1, "stopped": 2, "finished": 6 if over else 4, "waiting": 5}
    for run, lines_of in zip(one.runs, blocks, strict=True):
        remarks = [Text(line, "yellow") for line in _remarks(run.remarks, width)]
        yield _Block(ranks[run.state], lines_of + remarks)
    if one.fixes:
        yield _Block(1, [Text(line) for line in _remarks(one.fixes, width, 2)])


def numbers(run: RunView) -> list[str]:
    """State, round, accuracy, loss, seconds a round and what is left, each in a word or two, or empty."""
    return [
        "reading on" if run.unread else run.state,
        f"{run.rounds_done}/{run.rounds}" if run.rounds else str(run.rounds_done),
        "" if run.accuracy is None else f"{run.accuracy:.1%}",
        "" if run.loss is None else f"{run.loss:.3g}",
        "" if run.round_s is None else _seconds(run.round_s),
        "" if run.left_s is None else clock(run.left_s),
    ]


def _cells(run: RunView, bars: str) -> list[str]:
    state, rounds, accuracy, *others = numbers(run)
    return [shown(run.run), state, rounds, accuracy, sparkline(run.curve, bars), *others]


def _narrow(run: RunView, width: int, bars: str) -> list[Text]:
    """A run where there is no room for a table: in two lines, or three where its name is long."""
    state, rounds, accuracy, loss, round, left = numbers(run)
    name = shown(run.run)
    about = (
        f"{', '.join([state, *([f'{left} left'] if left else [])])}  {sparkline(run.curve, bars)}"
    )
    first = f"  {name}: {about}".rstrip()
    apart = [f"  {_cut(name, width - 3)}:", f"    {about}".rstrip()]
    lines = [first] if len(first) <= width else apart
    words = [rounds, accuracy and f"accuracy {accuracy}", loss and f"loss {loss}"]
    words.append(round and f"{round} a round")
    indent, text = "    ", ", ".join(filter(None, words))
    if not accuracy and len(lines[-1]) + len(text) + 2 <= width:
        return [Text(f"{line}, {text}", STYLES[run.state]) for line in lines]
    lines += textwrap.wrap(text, width, initial_indent=indent, subsequent_indent=indent)
    return [Text(line, STYLES[run.state]) for line in lines]


def _remarks(remarks: Sequence[str], width: int, indented: int = 4) -> list[str]:
    indent = " " * indented
    return [
        line
        for remark in remarks
        for line in textwrap.wrap(
            shown(remark), width, initial_indent=indent, subsequent_indent=indent
        )
    ]


def _to_copy(command: str, width: int) -> list[str]:
    """A command in lines that a shell takes for one."""
    lines = ["  to go on:"]
    words = [shown(shlex.quote(word)) for word in shlex.split(command)]
    starts = [n for n, word in enumerate(words) if not n or not words[n - 1].startswith("--")]
    for start, end in zip(starts, [*starts[1:], len(words)], strict=True):
        quoted = " ".join(words[start:end])
        if len(lines[-1]) + len(quoted) + 3 > width and lines[-1].strip():
            lines[-1] += " \\"
            lines.append("   ")
        lines[-1] += f" {quoted}"
    return lines


def _cut(name: str, most: int) -> str:
    """A name in so many characters: what runs differ in stands at the end of it."""
    return name if len(name) <= most else f"...{name[len(name) - most + 3 :]}"


def _fitting(blocks: Sequence[_Block], height: int | None) -> list[_Block]:
    """Those that there is room for, in their order."""
    kept = list(blocks)
    if height is None or sum(len(block.lines) for block in kept) <= height:
        return kept
    while len(kept) > 1 and sum(len(block.lines) for block in kept) > height - 1:
        highest = max(block.rank for block in kept)
        kept.reverse()
        kept.remove(next(block for block in kept if block.rank == highest))
        kept.reverse()
    return kept
