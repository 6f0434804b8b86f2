"""What can be typed after `fedspike fleet`."""

import argparse
from pathlib import Path
from typing import Any

from fedspike.cli import fleet, membership
from fedspike.cli.options import add_changes, add_experiment, add_json, new_command


def add(commands_of: Any) -> None:
    """The group of commands, below `fedspike`'s own."""
    group = commands_of.add_parser(
        "fleet", help="the same training on real devices, through Flower"
    )
    actions = group.add_subparsers(required=True, metavar="ACTION")
    _init(actions)
    _server_and_node(actions)
    _of_a_training(actions)
    _membership(actions)
    _local(actions)


def _init(actions: Any) -> None:
    init = new_command(
        actions, "init", fleet.init, "write a fleet's folder: keys, invitation, configuration"
    )
    init.add_argument("folder", type=Path, metavar="FOLDER")
    add_experiment(init, "see: fedspike presets")
    text = "devices or machines for which folders are made; with --own-data they can enrol instead"
    init.add_argument("--nodes", type=int, metavar="N", help=text)
    _host(init)
    _authority_key(init)
    init.add_argument("--port", type=int, default=8000, metavar="PORT", help="default: 8000")
    init.add_argument(
        "--own-data",
        action="store_true",
        help="the devices have data of their own; else the experiment's are dealt out to them",
    )
    add_changes(init)

    renew = new_command(actions, "renew", fleet.renew, "make a new certificate for the server")
    renew.add_argument("folder", type=Path, metavar="FOLDER")
    _host(renew)
    _authority_key(renew)


def _host(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--host",
        action="append",
        default=[],
        metavar="NAME",
        help="name or address that the nodes use for the server; can be given again",
    )


def _authority_key(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--authority-key",
        type=Path,
        metavar="FILE",
        help="where the key of the fleet's authority is kept; default: FOLDER/authority.key",
    )


def _server_and_node(actions: Any) -> None:
    server = new_command(actions, "server", fleet.server, "serve a fleet until stopped")
    server.add_argument("folder", type=Path, metavar="FOLDER")
    node = new_command(actions, "node", fleet.node, "take part in a fleet until stopped")
    node.add_argument("folder", type=Path, metavar="NODE", help="such as nodes/node-0")
    _data(node)
    _conditions(node)

    text = "write a systemd unit that keeps a server or a node going"
    service = new_command(actions, "service", fleet.service, text)
    service.add_argument("folder", type=Path, metavar="FOLDER|NODE", help="a fleet's or a node's")
    _data(service)
    service.add_argument("--output", type=Path, metavar="FILE", help="default: standard output")
    service.add_argument(
        "--system",
        action="store_true",
        help="a unit of the system, which runs as the folder's owner; else of the user",
    )


def _data(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--data",
        type=Path,
        metavar="FILE.npz|DIR",
        help="x_train and y_train; or a folder of client-0.npz, ...; default: NODE/data",
    )


def _of_a_training(actions: Any) -> None:
    for name, command, text in (
        ("run", fleet.run, "train on the nodes, show it, and write the report"),
        ("status", fleet.status, "show nodes and training"),
        ("logs", fleet.logs, "show what the server's side of the training said"),
        ("stop", fleet.stop, "end the training; run goes on with it"),
    ):
        action = new_command(actions, name, command, text)
        action.add_argument("folder", type=Path, metavar="FOLDER")
        if name in ("run", "status"):
            add_json(action, "print it as JSON")
        if name == "run":
            action.add_argument(
                "--at-least",
                type=int,
                metavar="N",
                help="begin when so many clients are there; default: all, or as said before",
            )


def _membership(actions: Any) -> None:
    text = "on a device: make its key and its folder, and show its code"
    enrol = new_command(actions, "enrol", membership.enrol, text)
    enrol.add_argument("invitation", type=Path, metavar="invitation.toml", help="of the fleet")
    enrol.add_argument("--name", default="", metavar="NAME", help="default: as this machine")
    enrol.add_argument("--output", type=Path, metavar="DIR", help="default: NAME")

    text = "let in the node with a code; without a code, show who asks"
    admit = new_command(actions, "admit", membership.admit, text)
    admit.add_argument("folder", type=Path, metavar="FOLDER")
    admit.add_argument("code", nargs="?", metavar="CODE", help="such as 7KQF-2M9X-RD4T")
    admit.add_argument("--name", default="", metavar="NAME", help="default: as the node says")
    admit.add_argument(
        "--clients", metavar="CLIENTS", help='such as "3, 5-7"; default: the first that is free'
    )

    text = "keep a node out for good, from now on"
    revoke = new_command(actions, "revoke", membership.revoke, text)
    revoke.add_argument("folder", type=Path, metavar="FOLDER")
    revoke.add_argument("node", metavar="NAME", help="see: fedspike fleet status FOLDER")


def _local(actions: Any) -> None:
    text = "try a fleet on this machine: server and N nodes, TLS, keys, training, report"
    local = new_command(actions, "local", fleet.local, text)
    local.add_argument("nodes", type=int, metavar="N")
    add_experiment(local, "default: fleet", nargs="?", default="fleet")
    local.add_argument("--output", type=Path, metavar="DIR", help="default: runs/fleet")
    add_changes(local)
    add_json(local, "print the experiment's summary as JSON")


def _conditions(node: argparse.ArgumentParser) -> None:
    """When a node takes work; as [conditions] in its node.toml."""
    for option, text in (
        ("--only-on-mains", "take no work on battery"),
        ("--only-when-idle", "take no work while other programs use a quarter of the cores"),
    ):
        node.add_argument(option, action="store_true", help=text)
    for option, kind, text in (
        ("--below-celsius", float, "take no work while the machine is as hot as that"),
        ("--at-most-cores", int, "train with so many threads"),
        ("--at-most-watts", float, "take no work until the machine's mean power is down to it"),
    ):
        node.add_argument(option, type=kind, metavar="N", help=text)
