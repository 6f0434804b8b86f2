"""A node from its start until it is stopped, in one process: it asks for work, does it, and answers."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

import torch
from flwr.app import Message as Envelope
from flwr.app import MessageType

from fedspike.deploy import flower
from fedspike.deploy.folder import NodeFolder
from fedspike.deploy.line import Away, Line, NotWanted, knock
from fedspike.errors import InputError
from fedspike.experiment.kept_files import kept
from fedspike.experiment.kinds import Kinds
from fedspike.federation.places.flower.conditions import watch
from fedspike.federation.places.flower.node import Device

SOONEST_S, LATEST_S = 0.2, 3.0  # between two questions for work
PATIENCE = 0.02  # of the time that nothing came, before the next question
GOOD_BYE_WITHIN_S = 2.0
AGAIN_AFTER_S = 2.0  # who was not let in asks again


@dataclass
class Unsent:
    """An answer that the server does not have yet, and the seconds of work in it."""

    reply: Envelope
    seconds: float


@dataclass
class Participant:
    """A node that takes part until it is stopped; an answer that could not be given is kept meanwhile."""

    folder: NodeFolder
    device: Device
    say: Callable[[str], None]
    told: str = ""
    unsent: Unsent | None = None
    line: Line | None = None

    def serve(self) -> None:
        """Connect, work, and connect again, for ever.

        Raises InputError where what answers at the address is another server.
        """
        self.device.look(self.folder.settings.classes, self.folder.settings.shape)
        while True:
            flower.wait_for_server(self.folder, self.say, knock)
            try:
                with Line(self.folder) as self.line:
                    # Who closes the line is let in again only when the server has forgotten it.
                    while True:
                        self.work(self.line)
                        time.sleep(SOONEST_S)
                        flower.wait_for_server(self.folder, self.say, knock)
            except Away as away:
                self.tell(f"the server is away: {away}")
            except NotWanted as refused:
                self.tell(f"{self.device.name} is not let in: {refused}; it asks again and again")
                time.sleep(AGAIN_AFTER_S)

    def work(self, line: Line) -> None:
        """Do what there is to do, until the server is away."""
        try:
            self._work(line)
        except Away as away:
            self.tell(f"the server is away: {away}")

    def _work(self, line: Line) -> NoReturn:
        since = time.monotonic()
        while True:
            if self.unsent is not None:
                self.hand_in(line, self.unsent)
                self.unsent, since = None, time.monotonic()
            envelope = line.pull()
            self.tell(f"{self.device.name} takes part at {self.folder.settings.server}")
            if envelope is None:
                self.device.pause()
                waited = time.monotonic() - since
                time.sleep(min(max(SOONEST_S, PATIENCE * waited), LATEST_S))
                continue
            if envelope.metadata.message_type == MessageType.TRAIN:
                self.say(f"round {envelope.metadata.group_id}: asked to train")
            began = time.monotonic()
            reply = self.device.answer(envelope)
            self.unsent = Unsent(reply, time.monotonic() - began)

    def hand_in(self, line: Line, unsent: Unsent) -> None:
        """Give the server an answer; one for a training that was ended is dropped."""
        try:
            line.push(unsent.reply, unsent.seconds)
        except NotWanted as refused:
            if refused.at_door:
                raise
            self.say(f"the server does not want the answer any more: {refused}")

    def say_good_bye(self) -> None:
        """Tell the server that the node leaves; at any moment, also while it works, and soon."""
        if self.line is not None:
            # A server that is away, or a lock that the work holds, must not keep a node from its end.
            telling = threading.Thread(target=self.line.say_good_bye, daemon=True)
            telling.start()
            telling.join(GOOD_BYE_WITHIN_S)

    def tell(self, words: str) -> None:
        """Say something that was not said last."""
        if words != self.told:
            self.say(words)
        self.told = words


def participant(
    folder: NodeFolder,
    data: Path,
    say: Callable[[str], None],
    options: Mapping[str, Any] = MappingProxyType({}),
) -> Participant:
    """The node of a folder; `options` are of its conditions.

    Raises InputError where the folder lacks a part, no data are there, or a condition cannot be watched.

    Data that are there and bad are waited for: server and node say what is wrong with them.
    """
    settings, home = folder.settings_with(options), folder.path.resolve()
    folder.demand_whole()
    if not data.exists():
        raise InputError(
            f"{data}: no such file or folder",
            expected="the node's samples, or a folder with a file for each of its clients",
            fix="name them with --data",
        )
    wanted = settings.conditions
    device = Device(*(settings.node, home, data.resolve(), say), watch(wanted))
    if wanted.at_most_cores is not None:
        torch.set_num_threads(min(wanted.at_most_cores, torch.get_num_threads()))
    Kinds.used(kept(home))
    return Participant(folder, device, say)
