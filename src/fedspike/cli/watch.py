"""`fedspike watch`: experiments that anybody runs, seen from outside."""

import sys
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

from fedspike.cli.options import add_json, new_command
from fedspike.errors import InputError

LOOK_S = 1.0  # between two looks
USUAL = Path("runs")


def add(commands_of: Any) -> None:
    """The command and its options."""
    text = "show how experiments are, while they run or afterwards; changes nothing"
    command = new_command(commands_of, "watch", watch, text)
    command.add_argument(
        "folders",
        type=Path,
        metavar="DIR",
        nargs="*",
        help="of experiments or runs, or with some anywhere below; default: runs",
    )
    command.add_argument("--once", action="store_true", help="show them once, and end")
    command.add_argument("--follow", action="store_true", help="go on when all are finished")
    command.add_argument(
        "--web", action="store_true", help="show them on a page, on this machine alone"
    )
    command.add_argument(
        "--port", type=int, metavar="N", help="of the page; default: one that is free"
    )
    add_json(command, "print once how they are as JSON")


def watch(options: Namespace) -> int:
    """Show experiments until all are finished, or for as long as somebody wants to see them."""
    from fedspike.records.watching import Watcher

    _demand_together(options)
    folders = options.folders or [USUAL]
    watcher = Watcher(folders)
    if options.json or options.once:
        return _once(watcher, json=options.json)
    if options.web:
        from fedspike.cli.live_page import serve

        serve(watcher, options.port or 0)
    from rich.console import Console

    console = Console(markup=False, highlight=False, emoji=False)
    if sys.stdout.isatty() and not console.is_dumb_terminal:
        _on_terminal(watcher, console, follow=options.follow)
    else:
        _in_lines(watcher, follow=options.follow)
    return 0


def _demand_together(options: Namespace) -> None:
    """Raise InputError where options do not go together."""
    if options.port is not None and not options.web:
        raise InputError(
            f"--port {options.port} without --web",
            expected="a port of the page, which --web asks for",
            fix="write --web beside it",
        )
    once = "--once" if options.once else "--json"
    for name in ("web", "follow"):
        if (options.once or options.json) and getattr(options, name):
            raise InputError(
                f"{once} with --{name}",
                expected="one look, or all that come",
                fix="leave one of them out",
            )


def _once(watcher: Any, *, json: bool) -> int:
    """Show how they are now. Raises InputError where there is nothing to show."""
    view = watcher.look(whole=True)
    if view.absent:
        folder = Path(view.absent[0])
        raise InputError(
            f"{folder}: {'no experiment in it' if folder.exists() else 'no such folder'}",
            expected="the folder of an experiment or a run, or one with some below",
            fix="leave --once out to wait for it, or name another folder",
        )
    if json:
        from fedspike.cli.commands import print_json

        print_json(view)
        return 0
    from rich.console import Console

    from fedspike.cli.picture import bars_of, picture

    console = Console(markup=False, highlight=False, emoji=False)
    for line in picture(view, console.width, None, bars_of(console.encoding)):
        console.print(line, soft_wrap=True)
    return 0


def _on_terminal(watcher: Any, console: Any, *, follow: bool) -> None:
    """Draw one picture over the other."""
    from rich.console import Group
    from rich.live import Live

    from fedspike.cli.picture import bars_of, picture

    bars = bars_of(console.encoding)
    with Live(console=console, auto_refresh=False) as live:
        while True:
            view = watcher.look()
            drawn = picture(view, console.width, console.height - 1, bars)
            live.update(Group(*drawn), refresh=True)
            if view.is_finished and not follow:
                return
            time.sleep(LOOK_S)


def _in_lines(watcher: Any, *, follow: bool) -> None:
    """Write a line for what has changed."""
    from fedspike.cli.news import News

    news = News()
    while True:
        view = watcher.look()
        for line in news.lines(view):
            sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
        if view.is_finished and not follow:
            return
        time.sleep(LOOK_S)
