"""The folder of a fleet: what `fedspike fleet init` writes, and what server and nodes find in it.

fleet.toml          where the server is, and how long it waits for answers
fedspike.toml       the experiment, as for `fedspike run`
own/                the experimenter's own files with parts, where some were named with --use
nodes/node-0/       all that a device needs, to be copied there: its key, the authority, where the server is
                    and own/
server/             the server's certificate and key, the nodes' public keys, and what it knows of them
app/ flower/        what Flower runs, and its own settings
run/                the results, as of `fedspike run`
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
import tomli_w
from msgspec import Meta, Struct
from msgspec.structs import replace

from fedspike import own_files, reading
from fedspike.data import Dataset
from fedspike.data.partition import OnDevices
from fedspike.deploy import certificates, share
from fedspike.errors import InputError
from fedspike.experiment import sweep
from fedspike.experiment.kept_files import keep, kept
from fedspike.experiment.kinds import Kinds
from fedspike.experiment.run import demand_devices
from fedspike.experiment.sweep import Experiment
from fedspike.files import make_folder, write_whole

LOOPBACK = ("127.0.0.1", "localhost", "::1")
SUPERLINK = "fleet"  # what Flower's command line calls our server
APP_TOML = """\
# Flower runs this; fedspike, installed on server and nodes, does the work.
[project]
name = "fedspike-fleet"
version = "1.0.0"
description = "The training of a FedSpike fleet"
license = "Apache-2.0"
dependencies = ["flwr>=1.41,<1.42"]

[tool.flwr.app]
publisher = "fedspike"

[tool.flwr.app.components]
serverapp = "app:server"
clientapp = "app:client"

[tool.flwr.app.config]
"""
APP = '''\
"""The two sides of the fleet."""

from fedspike.deploy.app import client, end_with_flower, load_own_files, server

__all__ = ["client", "server"]
end_with_flower()
load_own_files()
'''


class FleetSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """`fleet.toml`."""

    host: str
    port: Annotated[int, Meta(ge=1, lt=2**16)]
    deadline_s: Annotated[float, Meta(gt=0)] = 600.0

    @property
    def address(self) -> str:
        """Where nodes find the server."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def listens_on(self) -> str:
        """This machine alone where the address is its own, else all that reach it."""
        return self.host if self.host in LOOPBACK else "0.0.0.0"


class NodeSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """`node.toml`."""

    node: str
    client: Annotated[int, Meta(ge=0, lt=2**31)]
    server: str


S = TypeVar("S", bound=Struct)


@dataclass(frozen=True)
class FleetFolder:
    """Where everything is."""

    path: Path

    @property
    def settings(self) -> FleetSettings:
        """Raises InputError where this is no folder of a fleet."""
        return _read(
            self.path / "fleet.toml", FleetSettings, fix=f"fedspike fleet init {self.path}"
        )

    @property
    def experiment(self) -> Experiment:
        """The runs; InputError where the devices could not do all of them."""
        own = Kinds(own_files.load(kept(self.path)))
        experiment = sweep.read(str(self.path / "fedspike.toml"), kinds=own)
        demand_one_fleet(experiment)
        return experiment

    @property
    def server(self) -> Path:
        """The server's secrets and knowledge."""
        return self.path / "server"

    @property
    def run(self) -> Path:
        """The results."""
        return self.path / "run"


@dataclass(frozen=True)
class NodeFolder:
    """What a device has."""

    path: Path

    @property
    def settings(self) -> NodeSettings:
        """Raises InputError where this is no folder of a node."""
        fix = "copy the node's folder from the server: nodes/node-0 in the folder of the fleet"
        return _read(self.path / "node.toml", NodeSettings, fix=fix)


def write(
    path: Path,
    experiment: Experiment,
    dataset: Dataset,
    *,
    nodes: int,
    hosts: Sequence[str] = (),
    port: int = 8000,
    deal_out: bool = True,
) -> FleetFolder:
    """A ready folder for so many nodes and a server that is called `hosts`, the first of which nodes use.

    With `deal_out` the experiment's data set is dealt out to the nodes; else each node is a client that
    brings its own data, and the data set is there for its test images alone.

    Raises InputError where the folder is in use, or the experiment cannot be done by one fleet.
    """
    if not deal_out:
        experiment = _with_own_data(experiment, nodes)
    demand_one_fleet(experiment)
    plan = replace(experiment.runs[0].plan, data=dataset)
    clients = plan.fleet.clients
    if not 1 <= nodes <= clients:
        raise InputError(
            f"{nodes} nodes for {clients} clients",
            expected="at least one client for each node",
            fix=f"use {clients} nodes or fewer, or set fleet.clients",
        )
    if deal_out:
        demand_devices(plan, experiment.source)
        devices = plan.devices()
    if path.exists() and any(path.iterdir()):
        raise InputError(f"{path} is not empty", expected="a new folder", fix="name another folder")
    folder, names = FleetFolder(path), list(dict.fromkeys([*hosts, *LOOPBACK]))
    server = FleetSettings(names[0], port)
    _write_server(folder, server, names)
    _write_toml(path / "fedspike.toml", _whole(experiment), path)
    files = {file.name: file for run in experiment.runs for file in own_files.used(run.plan)}
    keep(files.values(), path, path)
    for number, own in enumerate(share.hosted(clients, nodes)):
        node = NodeSettings(f"node-{number}", own[0], server.address)
        home = _write_node(folder, node)
        keep(files.values(), home, path)
        if deal_out:
            share.write(home / "data", dataset, devices, own)
    return folder


def _write_server(folder: FleetFolder, server: FleetSettings, names: Sequence[str]) -> None:
    make_folder(folder.server, folder.path, mode=0o700)
    certificates.write_server(folder.server, names)
    _write_toml(folder.path / "fleet.toml", msgspec.to_builtins(server), folder.path)
    for name, text in (("pyproject.toml", APP_TOML), ("app.py", APP)):
        write_whole(folder.path / "app" / name, text.encode(), folder.path)
    link = {
        "address": f"127.0.0.1:{server.port}",
        "root-certificates": str((folder.server / certificates.AUTHORITY).resolve()),
    }
    flower: dict[str, object] = {"superlink": {"default": SUPERLINK, SUPERLINK: link}}
    _write_toml(folder.path / "flower" / "config.toml", flower, folder.path)


def _write_node(folder: FleetFolder, node: NodeSettings) -> Path:
    home = folder.path / "nodes" / node.node
    make_folder(home, folder.path, mode=0o700)
    public = certificates.write_node_key(home)
    write_whole(folder.server / "keys" / f"{node.node}.pub", public, folder.path)
    authority = (folder.server / certificates.AUTHORITY).read_bytes()
    write_whole(home / certificates.AUTHORITY, authority, folder.path)
    _write_toml(home / "node.toml", msgspec.to_builtins(node), folder.path)
    return home


def _with_own_data(experiment: Experiment, nodes: int) -> Experiment:
    """The same on so many devices, each of which holds what it holds."""
    option = "--own-data"
    source = experiment.source.override(("partition",), {"kind": OnDevices().kind}, option)
    return sweep.expand(source.override(("fleet", "clients"), nodes, option), experiment.kinds)


def demand_one_fleet(experiment: Experiment) -> None:
    """Raise where runs differ in who the devices are and what they hold: that cannot be swept."""
    held = {(run.plan.partition, run.plan.fleet.clients, run.plan.seed) for run in experiment.runs}
    if len(held) > 1:
        raise InputError(
            f"{experiment.name} has runs with different partitions, numbers of clients or seeds",
            expected="one distribution of the data for all runs: the devices hold what they hold",
            fix="set one of each, as in --set partition.classes=3, or --seeds 0",
        )


def _whole(experiment: Experiment) -> dict[str, object]:
    """The experiment's document, with the paths in it as this machine knows them from anywhere."""
    values = dict(experiment.source.values)
    data = dict(values.get("data", {}))
    for key in ("path", "data_dir"):
        if isinstance(data.get(key), str):
            data[key] = str(Path(data[key]).resolve())
    return {**values, **({"data": data} if data else {})}


def _write_toml(path: Path, values: dict[str, object], root: Path) -> None:
    write_whole(path, tomli_w.dumps(values).encode(), root)


def _read(file: Path, kind: type[S], *, fix: str) -> S:
    text = reading.read(file, str(file), expected="a file that fedspike fleet init wrote", fix=fix)
    try:
        return msgspec.convert(reading.parse(text, str(file), fix=fix), kind)
    except msgspec.ValidationError as error:
        raise InputError(
            f"{file}: {error}", expected="the keys that fedspike fleet init wrote", fix=fix
        ) from error
