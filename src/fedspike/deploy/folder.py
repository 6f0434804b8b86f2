"""The folder of a fleet: what `fedspike fleet init` writes, and what server and nodes find in it.

fleet.toml          where the server is, and how long it waits for answers
fedspike.toml       the experiment, as for `fedspike run`
invitation.toml     what a device needs that makes its own key: where the server is, and its authority
own/                the experimenter's own files with parts, where some were named with --use
nodes/node-0/       all that a device needs, to be copied there: its key, the authority, where the server is
                    and own/
authority.key       the key of the fleet's authority, unless it is kept elsewhere: only `renew` needs it
server/             the server's certificate, key and token, the register of the nodes, and what is
                    known of them
flower/             what Flower writes for itself
run/                the results, as of `fedspike run`
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import Meta, Struct
from msgspec.structs import replace

from fedspike import own_files
from fedspike.data import Dataset
from fedspike.data.partition import OnDevices
from fedspike.deploy import authority, certificates, keys, share, toml_files
from fedspike.deploy.authority import AUTHORITY_KEY, INIT, RESTORE, Safe
from fedspike.deploy.hosts import demand_host, demand_port, joined, split
from fedspike.deploy.register import Member, Register
from fedspike.errors import InputError
from fedspike.experiment import sweep
from fedspike.experiment.document import Key
from fedspike.experiment.kept_files import keep, kept
from fedspike.experiment.kinds import Kinds
from fedspike.experiment.run import demand_trainable
from fedspike.experiment.sweep import Experiment
from fedspike.federation.places.flower.conditions import Conditions
from fedspike.federation.plan import Name
from fedspike.files import MOST_SMALL, content_of, make_folder, write_whole
from fedspike.shell import command

LOOPBACK = ("127.0.0.1", "localhost", "::1")
TOKEN, NODE_TOML = "token", "node.toml"
Classes = Annotated[int, Meta(ge=1, lt=2**31)]
Shape = tuple[Annotated[int, Meta(ge=1)], ...]  # of an image


class FleetSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """`fleet.toml`."""

    host: str
    port: int
    deadline_s: Annotated[float, Meta(ge=1, le=1e7)] = 600.0

    def __post_init__(self) -> None:
        demand_host(self.host, "host")
        demand_port(self.port, "port")

    @property
    def address(self) -> str:
        """Where nodes find the server."""
        return joined(self.host, self.port)

    @property
    def listens_on(self) -> str:
        """This machine alone where the address is its own, else all that reach it."""
        if self.host in LOOPBACK:
            return self.host
        return "::" if ":" in self.host else "0.0.0.0"

    @property
    def here(self) -> str:
        """Where the server is found on its own machine."""
        return joined("::1" if ":" in self.listens_on else "127.0.0.1", self.port)


class NodeSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """`node.toml`: who the node is, where its server is, its images' classes and shape, when it works."""

    node: Name
    server: str
    classes: Classes
    shape: Shape
    conditions: Conditions = Conditions()

    def __post_init__(self) -> None:
        split(self.server, "server")


class Invitation(Struct, frozen=True, forbid_unknown_fields=True):
    """`invitation.toml`: not secret, but only the fleet's owner can be believed what is in it.

    `authority` is a certificate in PEM. With `own_data` a device brings its own samples. `own_files` are the
    owner's files with parts, in the folder own beside the invitation.
    """

    server: str
    authority: Annotated[str, Meta(max_length=10_000)]
    classes: Classes
    shape: Shape
    own_data: bool
    own_files: tuple[Name, ...] = ()

    def __post_init__(self) -> None:
        split(self.server, "server")


@dataclass(frozen=True)
class FleetFolder:
    """Where everything is."""

    path: Path

    @property
    def settings(self) -> FleetSettings:
        """Raises InputError where this is no folder of a fleet."""
        return toml_files.read(
            self.path / "fleet.toml",
            FleetSettings,
            fix=f"name the folder of a fleet; to make one: {INIT}",
        )

    @property
    def experiment(self) -> Experiment:
        """The runs; InputError where the devices could not do all of them."""
        own = Kinds.used(kept(self.path))
        experiment = sweep.read(str(self.path / "fedspike.toml"), kinds=own)
        demand_one_fleet(experiment)
        return experiment

    def demand_whole(self) -> None:
        """Raise InputError where a part of the folder that a server needs is not there, or not to be read."""
        parts = [self.server / name for name in (certificates.AUTHORITY, certificates.SERVER)]
        parts += [self.server / certificates.KEY, self.path / "fedspike.toml"]
        parts += [self.server / TOKEN]
        _demand_readable(parts, "without TLS and a token there is no fleet", RESTORE)

    @property
    def token(self) -> str:
        """What the server's owner knows and nobody else: it opens its door to whoever starts trainings."""
        file = self.server / TOKEN
        _demand_readable([file], "the file that fedspike fleet init made", RESTORE)
        return content_of(file, most=MOST_SMALL).decode("ascii", errors="replace").strip()

    @property
    def server(self) -> Path:
        """The server's secrets and knowledge."""
        return self.path / "server"

    @property
    def safe(self) -> Safe:
        """Where the authority's key is, unless somebody put it elsewhere."""
        return Safe(self.path / AUTHORITY_KEY)

    @property
    def renewal(self) -> str:
        """The command that makes a new certificate for the server."""
        return command("fleet", "renew", self.path)

    @property
    def register(self) -> Register:
        """Which nodes may come."""
        return Register(self.server)

    @property
    def run(self) -> Path:
        """The results."""
        return self.path / "run"


@dataclass(frozen=True)
class NodeFolder:
    """What a device has."""

    path: Path

    @property
    def is_made(self) -> bool:
        """Whether it is a node's folder."""
        return (self.path / NODE_TOML).exists()

    @property
    def settings(self) -> NodeSettings:
        """Raises InputError where this is no folder of a node."""
        return self.settings_with({})

    def settings_with(self, options: Mapping[str, object]) -> NodeSettings:
        """As `settings`; conditions among the `options` of the command line have the last word."""
        asked = {n: options.get(n) for n in Conditions.__struct_fields__}
        given: dict[Key, object] = {
            ("conditions", n): o for n, o in asked.items() if o is not None and o is not False
        }
        fix = f"take it out of nodes/ in the folder of the fleet, or make it: {keys.ENROL}"
        return toml_files.read(self.path / NODE_TOML, NodeSettings, fix=fix, options=given)

    def demand_whole(self) -> None:
        """Raise InputError where a part of the folder is not there, not to be read, or no key of a node."""
        _ = self.authority, self.key

    @property
    def authority(self) -> str:
        """The certificate of the fleet's authority, in PEM. Raises InputError where there is none."""
        file = self.path / certificates.AUTHORITY
        _demand_readable([file], "the certificate of the fleet's authority", self._again)
        return content_of(file, most=MOST_SMALL).decode("ascii", errors="replace")

    @property
    def key(self) -> ec.EllipticCurvePrivateKey:
        """The node's private key. Raises InputError where there is none."""
        return keys.private(self.path / keys.NODE_KEY, self._again)

    @property
    def _again(self) -> str:
        anew = command("fleet", "enrol", "invitation.toml", "--output", self.path)
        return (
            f"copy nodes/{self.settings.node} from the folder of the fleet again; "
            f"where the device made its own key: {anew}"
        )


def write(
    path: Path,
    experiment: Experiment,
    dataset: Dataset,
    *,
    nodes: int,
    hosts: Sequence[str] = (),
    port: int = 8000,
    deal_out: bool = True,
    safe: Safe | None = None,
) -> FleetFolder:
    """A ready folder for so many nodes and a server that is called `hosts`, the first of which nodes use.

    With `deal_out` the experiment's data set is dealt out to the nodes; else each node is a client that
    brings its own data, and the data set is there for its test images alone; then there may be no nodes yet,
    and the experiment says for how many clients there are seats. The key of the fleet's authority goes into
    `safe`, or else into the folder, open.

    Raises InputError where the folder is in use, or the experiment cannot be done by one fleet.
    """
    if not deal_out:
        experiment = _with_own_data(experiment, nodes)
    demand_one_fleet(experiment)
    plan = replace(experiment.runs[0].plan, data=dataset)
    clients = plan.fleet.clients
    if not int(deal_out) <= nodes <= clients:
        raise InputError(
            f"{nodes} nodes for {clients} clients",
            expected="at least one client for each node",
            fix=f"use {clients} nodes or fewer, or set fleet.clients",
        )
    if deal_out:
        demand_trainable(plan, experiment.source)
        devices = plan.devices()
    if path.exists() and any(path.iterdir()):
        raise InputError(f"{path} is not empty", expected="a new folder", fix="name another folder")
    folder, names = FleetFolder(path), list(dict.fromkeys([*hosts, *LOOPBACK]))
    for host in hosts:
        demand_host(host, "--host")
    demand_port(port, "--port")
    server = FleetSettings(names[0], port)
    safe = safe or folder.safe
    if safe.file.parent != path:
        safe.demand_free()
    _write_server(folder, server, names, safe)
    toml_files.write(path / "fedspike.toml", _whole(experiment), path)
    files = {file.name: file for run in experiment.runs for file in own_files.used(run.plan)}
    keep(files.values(), path, path)
    invitation = _invite(folder, dataset, not deal_out, tuple(files))
    for number, own in enumerate(share.hosted(clients, nodes)):
        name = f"node-{number}"
        home = path / "nodes" / name
        folder.register.write(Member(name, write_node(home, name, invitation, path), tuple(own)))
        keep(files.values(), home, path)
        if deal_out:
            share.write(home / "data", dataset, devices, own)
    return folder


def _invite(
    folder: FleetFolder, dataset: Dataset, own_data: bool, files: tuple[str, ...]
) -> Invitation:
    pem = content_of(folder.server / certificates.AUTHORITY).decode()
    shape = dataset.shape
    invitation = Invitation(
        *(folder.settings.address, pem, dataset.classes, shape, own_data, files)
    )
    toml_files.write(folder.path / "invitation.toml", invitation, folder.path)
    return invitation


def write_node(
    home: Path, name: str, invitation: Invitation, root: Path
) -> ec.EllipticCurvePublicKey:
    """A node's folder below `root`, with a key of its own, or that which is there; the public half of it."""
    make_folder(home, root, mode=0o700)
    file, fix = home / keys.NODE_KEY, "delete it, and another is made"
    key = keys.private(file, fix).public_key() if file.exists() else keys.write_private(home)
    write_whole(home / certificates.AUTHORITY, invitation.authority.encode(), root)
    before = NodeFolder(home)
    conditions = before.settings.conditions if before.is_made else Conditions()
    node = NodeSettings(
        *(name, invitation.server, invitation.classes, invitation.shape, conditions)
    )
    toml_files.write(home / NODE_TOML, node, root)
    return key


def _write_server(
    folder: FleetFolder, server: FleetSettings, names: Sequence[str], safe: Safe
) -> None:
    make_folder(folder.server, folder.path, mode=0o700)
    authority.write(folder.server, names, safe)
    toml_files.write(folder.path / "fleet.toml", server, folder.path)
    certificates.write_secret(folder.server / TOKEN, secrets.token_hex(32).encode())


def _with_own_data(experiment: Experiment, nodes: int) -> Experiment:
    """The same on so many devices, or as many as it says, each of which holds what it holds."""
    option = "--own-data"
    source = experiment.source.override(("partition",), {"kind": OnDevices().kind}, option)
    source = source.override(("fleet", "clients"), nodes, option) if nodes else source
    return sweep.expand(source, experiment.kinds)


def demand_one_fleet(experiment: Experiment) -> None:
    """Raise where runs differ in who the devices are and what they hold: that cannot be swept."""
    plans = [run.plan for run in experiment.runs]
    held = {(plan.partition, plan.fleet.clients, plan.seed_of_data) for plan in plans}
    if len(held) > 1:
        raise InputError(
            f"{experiment.name} has runs with different partitions, numbers of clients or seeds",
            expected="one distribution of the data for all runs: the devices hold what they hold",
            fix="set one of each, as in --set partition.classes=3 and --set partition_seed=0",
        )


def _whole(experiment: Experiment) -> dict[str, object]:
    """The experiment's document, with the paths in it as this machine knows them from anywhere."""
    values = dict(experiment.source.values)
    data = dict(values.get("data", {}))
    for key in ("path", "data_dir"):
        if isinstance(data.get(key), str):
            data[key] = str(Path(data[key]).resolve())
    return {**values, **({"data": data} if data else {})}


def _demand_readable(files: Sequence[Path], expected: str, fix: str) -> None:
    for file in files:
        try:
            content_of(file, most=MOST_SMALL)
        except OSError as error:
            raise InputError(f"{file}: {error.strerror}", expected=expected, fix=fix) from error
