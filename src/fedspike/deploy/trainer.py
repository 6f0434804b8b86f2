"""The server's side of a training: a process that waits until one is started, does it, and ends.

    python -m fedspike.deploy.trainer FOLDER PARENT

It runs what is installed here, whatever app came with the start. `fedspike fleet server` starts it with its
own process id, and starts it again when it has ended.
"""

import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

import httpx
from flwr.serverapp import Grid
from msgspec.structs import replace

from fedspike.data import Dataset
from fedspike.deploy import beginning, control, knocks, silence
from fedspike.deploy.folder import FleetFolder
from fedspike.deploy.parent import end_with
from fedspike.deploy.runtime_client import training
from fedspike.errors import InputError
from fedspike.experiment.run import load, perform
from fedspike.experiment.sweep import Experiment
from fedspike.experiment.training import Training
from fedspike.federation.client_numbers import spelled
from fedspike.federation.places.flower.nodes import Nodes, Registered
from fedspike.federation.places.flower.server import Flower
from fedspike.files import is_full
from fedspike.records.events import Event, Trained

LOOK_FOR_ROOM_S = 1.0


class Registration:
    """Who may come; what was known before, while a file of the register is being changed and not whole."""

    def __init__(self, folder: FleetFolder, say: Callable[[str], None]) -> None:
        self._folder, self._say, self._told = folder, say, ""
        self._last = control.registered(folder)

    def __call__(self) -> Mapping[int, Registered]:
        """Flower's number of each node -> who it is."""
        try:
            self._last, fault = control.registered(self._folder), ""
        except InputError as error:
            fault = str(error)
        if fault and fault != self._told:
            self._say(f"the register of the nodes counts as it was before: {fault}")
        self._told = fault
        return self._last


def in_vain(folder: FleetFolder) -> dict[str, str]:
    """Who asks at the door in vain -> why; nobody while a file is not whole, which ends no training."""
    with suppress(InputError):
        return knocks.in_vain(folder.register)
    return {}


def train(grid: Grid, folder: FleetFolder, say: Callable[[str], None]) -> None:
    """Do what is left of the folder's experiment."""
    experiment, deadline_s = folder.experiment, folder.settings.deadline_s
    dataset = load(experiment, say)
    who_may_come = Registration(folder, say)
    nodes = Nodes(
        *(grid, folder.server, dataset.classes, dataset.shape, who_may_come),
        partial(in_vain, folder),
    )
    plan = replace(experiment.runs[0].plan, data=dataset)
    dealt = [tuple(counts) for counts in plan.class_counts()] if plan.partition.dealt else []
    clients = plan.fleet.clients
    nodes.wait_for(clients, say, partial(beginning.at_least, folder, clients), dealt)
    for event in happening(experiment, dataset, folder.run, nodes, deadline_s, say):
        if isinstance(event, Trained):
            say(f"{event.run} round {event.record.round}: accuracy {event.record.accuracy:.1%}")


def train_with_room(grid: Grid, folder: FleetFolder, say: Callable[[str], None]) -> None:
    """As `train`; where the disk is full, wait for room, and go on after the last round that is stored."""
    while True:
        try:
            train(grid, folder, say)
            return
        except (InputError, httpx.HTTPStatusError) as error:
            if not is_full(folder.path):
                raise
            say(f"the disk is full, waiting for room: {error}")
        while is_full(folder.path):
            time.sleep(LOOK_FOR_ROOM_S)


def happening(
    experiment: Experiment,
    dataset: Dataset,
    run: Path,
    nodes: Nodes,
    deadline_s: float,
    say: Callable[[str], None],
) -> Iterator[Event]:
    """What happens as the nodes train; a client that takes an open seat is in from the next round on.

    Round t is the simulator's round t of those clients that had a seat when it began, and of the state after
    round t - 1. So the training goes on with more of them as it does after a break.
    """
    place = Flower(nodes, deadline_s)
    while True:
        training = Training(place=place, held=nodes.held)
        with closing(perform(experiment, dataset, run, "fedspike fleet run", training)) as events:
            for event in events:
                yield event
                if isinstance(event, Trained) and (newcomers := nodes.seat_newcomers()):
                    say(f"clients {spelled(newcomers)} join from the next round on")
                    break
            else:
                return


def said(line: str) -> None:
    """A line of the log, with its time; a log that has no room ends no training."""
    with suppress(OSError):
        sys.stderr.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}\n")
        sys.stderr.flush()


def main() -> int:
    """Do one training."""
    end_with(int(sys.argv[2]))
    # Flower interrupts a program whose training was stopped, and so does Ctrl-C at the server.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    folder = FleetFolder(Path(sys.argv[1]))
    try:
        with training(folder) as grid:
            said("the training begins")
            train_with_room(grid, folder, said)
            said("the training is done")
    except InputError as error:
        said(f"the training ended: {error}")
        return 1
    except httpx.HTTPError as error:
        said(f"the server is away, and its training ends: {silence.words(error)}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
