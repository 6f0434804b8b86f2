"""What `fedspike fleet` does: thin commands around Flower's own, so that a device needs one line.

`init` makes a folder, `server` and `node` run until they are stopped, `run` trains and shows how it goes, and
`local` does all of it on this machine. `status`, `logs` and `stop` ask a running server. `renew` makes its
certificate anew, and `service` keeps a server or a node going.
"""

import os
import sys
from argparse import Namespace
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from shlex import quote
from typing import Any, NoReturn

from fedspike.cli import passphrase
from fedspike.cli.commands import conclude, kinds_of, print_json, print_summary, say, without_page
from fedspike.cli.stopping import Stopped, leave, on_stop
from fedspike.errors import InputError
from fedspike.shell import command

QUIET = "Flower's telemetry and update checks are off; nothing leaves these machines but what they train."


def init(options: Namespace) -> int:
    """Write the folder of a fleet."""
    if not (options.own_data or options.nodes):
        raise InputError(
            f"--nodes {options.nodes or 'is missing'}",
            expected="how many nodes the experiment's data are dealt out to",
            fix="--nodes 4; or --own-data, where devices bring their own and make their own keys",
        )
    demand_flower()
    from fedspike.deploy.authority import Safe
    from fedspike.deploy.folder import FleetFolder

    file = options.authority_key or FleetFolder(options.folder).safe.file
    safe = Safe(file, passphrase.chosen())
    folder = _made(options, options.folder, options.nodes or 0, options.host, options.port, safe)
    path, data = folder.path, ("--data", "FILE.npz") if options.own_data else ()
    lines = [f"{path} is ready.", f"On the server:  {command('fleet', 'server', path)}"]
    if options.nodes:
        lines += [f"On each device, with its own folder out of {path / 'nodes'}:"]
        lines += [f"  {command('fleet', 'node', 'node-0', *data)}"]
        lines += ["Such a folder holds a secret key: carry it over a safe way, and keep no copy."]
    else:
        lines += [f"On each device, with {path / 'invitation.toml'}:"]
        lines += [f"  {command('fleet', 'enrol', 'invitation.toml')}"]
        lines += [f"  {command('fleet', 'node', 'NAME', *data)}"]
        lines += [f"On the server, to let it in:  {command('fleet', 'admit', path, 'CODE')}"]
    say("\n".join([*lines, f"Then here:      {command('fleet', 'run', path)}"]))
    if not safe.passphrase:
        say(
            f"The key of the fleet's authority, {safe.file}, is not encrypted: take it offline; "
            "only fedspike fleet renew needs it."
        )
    return 0


def server(options: Namespace) -> int:
    """Serve until stopped; a training that was going on goes on."""
    from fedspike.deploy import control, flower

    folder = folder_of(options.folder)
    with flower.serving(folder) as program, flower.trainers(folder):
        say(QUIET)
        nodes = _names(control.register(folder).values())
        if control.resume(folder):
            say("The training that was going on goes on.")
        say(f"The server listens on port {folder.settings.port}: {nodes}")
        _remark(folder)
        if code := program.wait():
            raise InputError(
                f"Flower's server ended with exit code {code}",
                expected="one that serves until it is stopped",
                fix=f"see what it said above; then {command('fleet', 'server', folder.path)}",
            )
        return 0


def node(options: Namespace) -> int:
    """Take part until stopped; wait for the server, and come back to it."""
    demand_flower()
    from fedspike.deploy.device import participant
    from fedspike.deploy.folder import NodeFolder

    folder = NodeFolder(options.folder)
    data = options.data or folder.path / "data"
    taking_part = participant(folder, data, say, vars(options))
    say(QUIET)

    def depart(number: int) -> NoReturn:
        taking_part.say_good_bye()
        leave(number, "")

    with on_stop(depart):
        taking_part.serve()
    return 0


def run(options: Namespace) -> int:
    """Train on the nodes, show how it goes, and write the report."""
    from fedspike.deploy import beginning, control

    folder = folder_of(options.folder)
    if options.at_least is not None:
        beginning.set_at_least(folder, options.at_least)
    control.register(folder)
    control.submit(folder)
    _remark(folder)
    resume = (
        f"\nThe training goes on without being shown; to see it again:\n\n"
        f"  {command('fleet', 'run', folder.path)}\n\n"
        f"To end it: {command('fleet', 'stop', folder.path)}\n"
    )
    return _followed(folder, options, resume)


def status(options: Namespace) -> int:
    """Say which nodes are there, how they do, and how far the training is."""
    folder = folder_of(options.folder)
    from fedspike.cli import overview
    from fedspike.deploy import status

    now = status.read(folder)
    if options.json:
        print_json(now)
    else:
        sys.stdout.write(overview.text(now, str(folder.path)))
    _remark(folder)
    return 0


def logs(options: Namespace) -> int:
    """Show what the server's side of the training said."""
    from fedspike.deploy import flower
    from fedspike.files import content_of

    log = flower.log_of_training(folder_of(options.folder))
    if not log.exists():
        raise _not_started(options.folder)
    sys.stdout.write(content_of(log).decode(errors="replace"))
    return 0


def stop(options: Namespace) -> int:
    """End the training; what is done is stored, and `run` goes on with it."""
    from fedspike.deploy import control

    folder = folder_of(options.folder)
    if not control.stop(folder):
        raise _not_started(folder.path)
    if control.is_done(folder):
        page = without_page(folder.run) or f"Its report: {folder.run / 'report.html'}"
        say(f"The training is done. {page}")
    else:
        say(f"The training is stopped. To go on: {command('fleet', 'run', folder.path)}")
    return 0


def renew(options: Namespace) -> int:
    """Make a new certificate for the server, of the same authority and for the same key."""
    folder = folder_of(options.folder)
    from fedspike.deploy import authority
    from fedspike.deploy.hosts import demand_host

    for host in options.host:
        demand_host(host, "--host")
    file = options.authority_key or folder.safe.file
    server = authority.renew(folder.server, options.host, file, passphrase.given)
    say(
        f"The server has a new certificate, valid until {server.not_valid_after_utc:%Y-%m-%d}, "
        "for the key that it had.\n"
        f"To use it, start the server again: {command('fleet', 'server', folder.path)}\n"
        "The nodes need nothing."
    )
    return 0


def service(options: Namespace) -> int:
    """Write a systemd unit for a server or a node, and say how it is installed."""
    demand_flower()
    from fedspike.deploy import service
    from fedspike.files import write_whole

    made = service.service(options.folder, options.data)
    text = made.text(of_system=options.system)
    home = Path("/etc/systemd/system") if options.system else Path.home() / ".config/systemd/user"
    file, systemctl = home / made.unit, "systemctl" if options.system else "systemctl --user"
    if options.output is None:
        again = ["fleet", "service", options.folder]
        again += [] if options.data is None else ["--data", options.data]
        again += ["--system"] if options.system else []
        sys.stdout.write(text)
        sys.stdout.flush()
        first = f"  {command(*again, '--output', file)}\n"
    else:
        write_whole(options.output, text.encode(), options.output.parent)
        file, first = options.output.resolve(), ""
    enable = f"  {systemctl} enable --now {quote(str(file))}\n"
    say(f"To install it and start it:\n\n{first}{enable}")
    if not options.system:
        say("It ends when you log out, unless you give once: loginctl enable-linger")
    return 0


def _remark(folder: Any) -> None:
    """Say that the server's certificate ends soon, if it does."""
    from fedspike.deploy import authority

    if words := authority.remark(folder.server, folder.renewal):
        say(words)


def _not_started(path: Path) -> InputError:
    return InputError(
        f"{path}: no training was started",
        expected="one that runs or ran",
        fix=command("fleet", "run", path),
    )


def local(options: Namespace) -> int:
    """Server and nodes on this machine, with TLS and keys, and a training; at the end all are gone."""
    demand_flower()
    from fedspike.deploy import control, flower
    from fedspike.deploy.folder import FleetFolder
    from fedspike.files import appending

    path = options.output or Path("runs") / "fleet"
    folder = FleetFolder(path)
    if not (path / "fleet.toml").exists():
        folder = _made(options, path, options.nodes, [], flower.free_port())
    homes = sorted((path / "nodes").iterdir())
    if len(homes) != options.nodes:
        raise InputError(
            f"{options.nodes} nodes, where {path} has {len(homes)}",
            expected="the nodes that the folder was made for",
            fix="name another folder with --output",
        )
    threads = str(max(1, (os.cpu_count() or 1) // len(homes)))
    logs = path / "logs"
    say(f"{QUIET}\nWhat server and nodes say is in {logs}.")
    with _last_words(_resume_local(options, path)), ExitStack() as stack:
        opened = {
            name: appending(logs / f"{name}.log", path)
            for name in ("server", *(home.name for home in homes))
        }
        for log in opened.values():
            stack.enter_context(log)
        for home in homes:
            program = [sys.executable, "-m", "fedspike", "fleet", "node", str(home)]
            around = {**os.environ, "OMP_NUM_THREADS": threads}
            stack.enter_context(flower.started(program, around, log=opened[home.name]))
        stack.enter_context(flower.trainers(folder))  # all of them import torch meanwhile
        stack.enter_context(flower.serving(folder, opened["server"]))
        control.register(folder)
        if not control.resume(folder):
            control.submit(folder)
        return _followed(folder, options, None)


def _followed(folder: Any, options: Namespace, last_words: str | None) -> int:
    """Show the training until its end, then write the report."""
    from contextlib import nullcontext

    from fedspike.cli.progress import Progress
    from fedspike.deploy import control
    from fedspike.experiment.sweep import time_left

    experiment = folder.experiment
    stopping = (
        nullcontext() if last_words is None else on_stop(partial(leave, last_words=last_words))
    )
    with (
        stopping,
        Progress(time_left(experiment.runs)) as progress,
    ):
        if later := without_page(folder.run):
            progress.say(later)
        for event in control.follow(folder, experiment, progress.say):
            progress.show(event)
    conclude(folder.run)
    if options.json:
        print_summary(folder.run)
    return 0


def _resume_local(options: Namespace, path: Path) -> str:
    """What is said when `local` is stopped."""
    again = command("fleet", "local", options.nodes, options.experiment, "--output", path)
    return f" {path} holds every finished round; server and nodes ended.\nTo go on:\n\n  {again}\n"


@contextmanager
def _last_words(text: str) -> Iterator[None]:
    """Whoever is stopped here ends with these words."""
    try:
        yield
    except Stopped as stop:
        stop.last_words = text
        raise


def _made(
    options: Namespace, path: Path, nodes: int, hosts: list[str], port: int, safe: Any = None
) -> Any:
    """The folder of a new fleet for the experiment that the options name."""
    demand_flower()
    from fedspike.deploy import folder
    from fedspike.experiment import sweep
    from fedspike.experiment.run import load

    kinds = kinds_of(options)
    experiment = sweep.read(options.experiment, options.set, options.seeds, options.data_dir, kinds)
    own_data = getattr(options, "own_data", False)
    dataset = load(experiment, say)
    deal_out = not own_data
    return folder.write(
        *(path, experiment, dataset),
        nodes=nodes,
        hosts=hosts,
        port=port,
        deal_out=deal_out,
        safe=safe,
    )


def folder_of(path: Path) -> Any:
    """The folder of a fleet. Raises InputError where it is none, or Flower is not installed."""
    demand_flower()
    from fedspike.deploy.folder import FleetFolder

    folder = FleetFolder(path)
    _ = folder.settings  # or say at once that it is none
    return folder


def demand_flower() -> None:
    """Raise InputError where Flower is not installed."""
    from fedspike.deploy import installed

    installed.demand()


def _names(nodes: Iterable[Any]) -> str:
    names = sorted(node.name for node in nodes)
    return f"{len(names)} nodes may come, {', '.join(names)}" if names else "no node may come"
