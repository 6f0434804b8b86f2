"""What Flower starts once for a training: the server's side. `client` is there since Flower asks for one."""

import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from flwr.app import Context
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp

from fedspike.deploy import control
from fedspike.deploy.flower import FOLDER
from fedspike.deploy.folder import FleetFolder
from fedspike.errors import InputError
from fedspike.experiment.run import Training, load, perform
from fedspike.federation.places.flower.nodes import Nodes
from fedspike.federation.places.flower.server import Flower
from fedspike.records.events import Trained

__all__ = ["client", "end_with_flower", "server"]

server, client = ServerApp(), ClientApp()


@server.main()
def main(grid: Grid, context: Context) -> None:
    """Train in the folder that the server was started with; nothing from outside says where that is."""
    del context
    try:
        train(grid, FleetFolder(Path(os.environ[FOLDER])), logging.getLogger("flwr").info)
    except InputError as error:
        logging.getLogger("flwr").error("fedspike: %s", error)
        sys.exit(1)


def train(grid: Grid, folder: FleetFolder, say: Callable[[str], None]) -> None:
    """Do what is left of the folder's experiment."""
    experiment, deadline_s = folder.experiment, folder.settings.deadline_s
    dataset = load(experiment, say)
    names = {number: name for name, number in control.registered(folder).items()}
    nodes = Nodes(grid, folder.server, dataset.classes, dataset.x_test.shape[1:], names)
    nodes.wait_for(experiment.runs[0].plan.fleet.clients, say)
    training = Training(place=Flower(nodes, deadline_s), held=nodes.held)
    for event in perform(experiment, dataset, folder.run, "fedspike fleet run", training):
        if isinstance(event, Trained):
            say(f"{event.run} round {event.record.round}: accuracy {event.record.accuracy:.1%}")


def end_with_flower() -> None:
    """From now on, end at once when the program that started this process is gone.

    All that is stored is whole at any moment, and whoever comes next finds the run folder free. Flower lets
    such a process say good-bye first, to nobody, which takes it minutes.
    """

    named = "--parent-pid"  # Flower's own option; the parent may be gone before we come to ask
    parent = int(sys.argv[sys.argv.index(named) + 1]) if named in sys.argv else os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
