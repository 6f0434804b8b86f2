"""Nodes without a network: Flower's Grid, whose messages are handled where they are pushed."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from flwr.app import Message
from flwr.app.error import Error
from flwr.serverapp import Grid
from flwr.supercore.task_identity import TaskIdentity
from msgspec.structs import replace

from fedspike.data.dataset import ignore
from fedspike.deploy import share
from fedspike.deploy.trainer import happening
from fedspike.experiment import sweep
from fedspike.experiment.run import load
from fedspike.federation.places.flower.node import Device
from fedspike.federation.places.flower.nodes import Nodes, Registered


def _unused(*_: object, **__: object) -> NoReturn:
    raise AssertionError("not used by fedspike")


class InProcess(Grid):
    """Nodes 1, 2, ... with their own clients; `meddle` may change what one answers, or lose it."""

    def __init__(self, devices: dict[int, Device], own: Mapping[int, Iterable[int]]) -> None:
        TaskIdentity.task_id = TaskIdentity.run_id = TaskIdentity.node_id = 1
        self.devices = devices
        self.members = {n: Registered(devices[n].name, frozenset(ks)) for n, ks in own.items()}
        self.waiting: dict[str, Message] = {}
        self.asked: list[int] = []
        self.away: set[int] = set()
        self.meddle: Callable[[int, Message], Message | None] = self.unchanged

    @staticmethod
    def unchanged(node: int, message: Message) -> Message:
        del node
        return message

    def registered(self) -> Mapping[int, Registered]:
        return self.members

    def get_node_ids(self) -> Iterable[int]:
        return self.devices.keys() - self.away

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        pushed = []
        for message in messages:
            node = message.metadata.dst_node_id
            message.metadata.__dict__["_message_id"] = f"{node}-{len(self.asked)}"
            self.asked.append(node)
            pushed.append(message.metadata.message_id)
            try:
                reply = self.devices[node].answer(message)
            except Exception as error:  # such as a message without content
                reply = Message(Error(code=1, reason=str(error)), reply_to=message)
            if (changed := self.meddle(node, reply)) is not None:
                self.waiting[message.metadata.message_id] = changed
        return pushed

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        return [self.waiting.pop(i) for i in message_ids if i in self.waiting]

    # Not used by ours.
    set_run = create_message = send_and_receive = _unused
    run = property(_unused)


def dealt_out(experiment: sweep.Experiment, folder: Path, nodes: int) -> InProcess:
    """Nodes with the clients of an experiment's first run, dealt out as in a simulation."""
    dataset = load(experiment, ignore)
    devices = replace(experiment.runs[0].plan, data=dataset).devices()
    nodes_of, own = {}, dict(enumerate(share.hosted(len(devices.shards), nodes), 1))
    for number, clients in own.items():
        home = folder / f"node-{number}"
        share.write(home / "data", dataset, devices, clients)
        nodes_of[number] = Device(home.name, home, home / "data")
    return InProcess(nodes_of, own)


def on_the_fleet(
    experiment: sweep.Experiment, grid: InProcess, folder: Path, deadline_s: float = 60.0
) -> Any:
    """The same as `events`, on nodes."""
    dataset = load(experiment, ignore)
    nodes = Nodes(grid, folder, dataset.classes, dataset.x_train.shape[1:], grid.registered)
    nodes.wait_for(experiment.runs[0].plan.fleet.clients, ignore)
    return happening(experiment, dataset, folder / "run", nodes, deadline_s, ignore)
