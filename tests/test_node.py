"""What keeps a node from its work, or a while from it: each said in words, with its fix, and waited out."""

import errno
import os
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from flwr.app import ConfigRecord, Message, RecordDict

from fedspike import files
from fedspike.algorithms import Tree
from fedspike.cli.commands import say
from fedspike.deploy import device, trainer
from fedspike.deploy.folder import FleetFolder, NodeFolder
from fedspike.deploy.line import Line
from fedspike.errors import InputError
from fedspike.federation.places.flower import absent, messages
from fedspike.federation.places.flower.messages import (
    Holding,
    OtherVersion,
    Question,
    unpack,
)
from fedspike.federation.places.flower.node import Device
from fedspike.federation.places.flower.nodes import SILENT, Nodes
from fedspike.federation.places.flower.server import Flower
from fedspike.federation.rounds import Round, rounds
from fedspike.networks import ANN, FullyConnected
from fleet_in_process import InProcess, dealt_out
from test_messages import LABELS, PIXELS, toy


def of_version(version: bytes | None, message: dict[str, Any]) -> RecordDict:
    """What another version may send: our record, with a message of any form in it."""
    record = {} if version is None else {messages.VERSION: version}
    return RecordDict(
        {
            messages.RECORD: ConfigRecord(
                {**record, messages.MESSAGE: msgspec.msgpack.encode(message)}
            )
        }
    )


@pytest.mark.parametrize(
    ("version", "kind", "words", "fix"),
    [
        (
            b"9.1",
            Question,
            "the server has fedspike 9.1",
            "on this node, pip install 'fedspike==9.1'",
        ),
        (b"9.1", Holding, "the node has fedspike 9.1", f"'fedspike=={messages.INSTALLED}'"),
        (None, Question, "of an unknown version", "the server's version of fedspike on this node"),
        (b"1'; rm -r ~;'", Question, "of an unknown version", "the server's version"),
    ],
)
def test_another_version_is_named_whatever_the_form_of_its_message(
    version: bytes | None, kind: Any, words: str, fix: str
) -> None:
    content = of_version(version, {"message": "question", "a field of tomorrow": 3})
    with pytest.raises(OtherVersion) as told:
        unpack(content, kind)
    assert words in told.value.passed
    assert fix in told.value.fix
    assert "rm" not in str(told.value)


SPOILT: dict[str, tuple[dict[str, Any], str]] = {
    "corrupt file": ({"client-1.npz": b"PK no zip"}, "client-1.npz"),
    "labels out of range": ({"client-1.npz": {"labels": [0, 7]}}, "labels from 0 to 7"),
    "wrong shape": ({"client-1.npz": {"shape": (4, 4)}}, "images of shape (4, 4)"),
    "missing data": ({}, "no .npz file in it"),
}


@pytest.mark.parametrize("kind", SPOILT)
def test_bad_data_are_told_on_the_node_in_run_and_status_and_in_the_record(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From before the server asks until they are mended, and when they are spoilt between two rounds."""
    monkeypatch.setattr("fedspike.federation.places.flower.nodes.AGAIN_AFTER_S", 0.0)
    files, words = SPOILT[kind]
    experiment = toy(ANN(FullyConnected((4,))))
    grid = dealt_out(experiment, tmp_path, nodes=3)
    device, told = grid.devices[2], list[str]()
    monkeypatch.setattr(device, "say", told.append)
    good = (device.data / "client-1.npz").read_bytes()

    def spoil() -> None:
        (device.data / "client-1.npz").unlink()
        for name, content in files.items():
            if isinstance(content, bytes):
                (device.data / name).write_bytes(content)
            else:
                images = np.zeros((2, *content.get("shape", (3, 3))), np.float32)
                labels = np.array(content.get("labels", [0, 1]))
                np.savez(
                    device.data / name, x_train=images, y_train=labels, axes="sample height width"
                )

    spoil()
    device.look(3, (3, 3))
    (on_the_node,) = told
    assert on_the_node.startswith("node-2 takes no part: ")
    assert words in on_the_node
    assert "\n  fix: " in on_the_node
    nodes = Nodes(grid, tmp_path, 3, (3, 3), grid.registered)
    nodes.meet()
    nodes._publish([])
    for_others = absent.read(tmp_path).refused["node-2"].reason
    assert words in for_others
    assert "(usual fix: " in for_others
    assert nodes.absent()[0]["error"] == for_others
    assert told == [on_the_node]  # once, though it was asked again
    (device.data / "client-1.npz").write_bytes(good)
    nodes.wait_for(3, lambda _: None)
    assert nodes.absent() == []
    assert told[-1] == "node-2 is mended: it takes part again"
    happening = rounds(experiment.runs[0].plan, Flower(nodes, 60.0))
    spoil()
    spoilt = next(happening)
    assert spoilt.missing == (1,)
    assert words in spoilt.nodes[1]["error"]
    assert "(usual fix: " in spoilt.nodes[1]["error"]
    (device.data / "client-1.npz").write_bytes(good)
    assert next(happening).missing == ()


def test_a_node_that_never_answers_holds_up_nobodys_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has a reason itself, and its part once it answers; who is kept out at the door has one, too."""
    monkeypatch.setattr("fedspike.federation.places.flower.nodes.PATIENCE_S", 0.3)
    grid = dealt_out(toy(ANN(FullyConnected((4,)))), tmp_path, nodes=3)
    (grid.devices[2].data / "client-1.npz").write_bytes(b"PK no zip")
    kept, outside = list[Message](), {"node-9": "its clock"}
    grid.meddle = lambda node, reply: kept.append(reply) if node == 1 else reply
    nodes = Nodes(grid, tmp_path, 3, (3, 3), grid.registered, lambda: outside)
    for _ in range(2):
        began = time.monotonic()
        nodes.meet()
        assert time.monotonic() - began < 5
        nodes._publish([])
        refused = absent.read(tmp_path).refused
        assert "client-1.npz" in refused["node-2"].reason
        assert refused["node-1"].reason == SILENT
        errors = {entry["node"]: entry["error"] for entry in nodes.absent()}
        assert errors == {name: one.reason for name, one in refused.items()} | outside
    assert nodes.hosts == {2: 3}
    (late,) = kept
    grid.waiting[late.metadata.reply_to_message_id] = late
    nodes.meet()
    assert nodes.hosts == {0: 1, 2: 3}
    assert 1 not in nodes.refused


def test_a_node_that_left_before_it_answered_is_asked_when_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fedspike.federation.places.flower.nodes.AGAIN_AFTER_S", 0.0)
    grid = dealt_out(toy(ANN(FullyConnected((4,)))), tmp_path, nodes=3)
    nodes, there = Nodes(grid, tmp_path, 3, (3, 3), grid.registered), dict(grid.devices)
    for name in there:
        gone = Device(there[name].name, tmp_path, tmp_path)
        monkeypatch.setattr(gone, "answer", {}.__getitem__)  # an error comes in its place
        grid.devices[name] = gone
    nodes.meet()
    assert nodes.refused.keys() == {1, 2, 3}
    grid.devices.clear()
    nodes.meet()
    assert nodes.refused == {}
    grid.devices.update(there)
    nodes.meet()
    assert nodes.hosts.keys() == {0, 1, 2}


def on_one_node(folder: Path, counts: list[int]) -> tuple[list[Round], Tree]:
    """The rounds of a training whose first client has so many samples in each, and its model."""
    experiment = toy(ANN(FullyConnected((4,))))
    plan = msgspec.structs.replace(experiment.runs[0].plan, rounds=len(counts))
    grid = dealt_out(experiment, folder, nodes=3)
    nodes = Nodes(grid, folder, 3, (3, 3), grid.registered)

    def holds(count: int) -> None:
        images, labels = np.tile(PIXELS, (2, 1, 1))[:count], np.tile(LABELS, 2)[:count]
        file = grid.devices[1].data / "client-0.npz"
        np.savez(file, x_train=images, y_train=labels, axes="sample height width")

    holds(counts[0])
    nodes.wait_for(3, lambda _: None)
    held = msgspec.structs.replace(plan, partition=nodes.held)
    happened, happening = list[Round](), rounds(held, Flower(nodes, 60.0))
    for count in counts:
        holds(count)
        happened.append(next(happening))
    return happened, {"model": happened[-1].state.model}


def test_a_file_that_changes_between_two_rounds_keeps_to_what_was_declared(tmp_path: Path) -> None:
    """More samples do not count in this training; fewer make the client weigh less."""
    _, expected = on_one_node(tmp_path / "same", [12, 12, 12])
    more, model = on_one_node(tmp_path / "more", [12, 20, 13])
    assert all(torch.equal(expected["model"][k], model["model"][k]) for k in model["model"])
    assert [each.rejections for each in more] == [(), (), ()]
    fewer, model = on_one_node(tmp_path / "fewer", [12, 5, 12])
    assert [each.rejections for each in fewer] == [(), (), ()]
    assert [each.missing for each in fewer] == [(), (), ()]
    shown = [each.activity[0].samples for each in fewer]
    assert (shown[1], shown[0], shown[2]) == (5, 12, 12)
    assert any(not torch.equal(expected["model"][k], model["model"][k]) for k in model["model"])


def test_a_file_that_is_read_while_it_is_copied_costs_one_round(tmp_path: Path) -> None:
    experiment = toy(ANN(FullyConnected((4,))))
    grid = dealt_out(experiment, tmp_path, nodes=3)
    nodes = Nodes(grid, tmp_path, 3, (3, 3), grid.registered)
    nodes.wait_for(3, lambda _: None)
    happening = rounds(experiment.runs[0].plan, Flower(nodes, 60.0))
    file = grid.devices[2].data / "client-1.npz"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    first = next(happening)
    assert first.missing == (1,)
    assert "client-1.npz" in first.nodes[1]["error"]
    file.write_bytes(whole)
    assert next(happening).missing == ()


def test_a_node_of_another_version_is_refused_on_both_sides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The node refuses the question, and the server its refusal; a reader of `status` sees the second."""
    grid = dealt_out(toy(ANN(FullyConnected((4,)))), tmp_path, nodes=3)
    ours, push, told = messages.INSTALLED, grid.devices[2].answer, list[str]()
    monkeypatch.setattr(grid.devices[2], "say", told.append)

    def answer(message: Message) -> Message:
        with monkeypatch.context() as patch:
            patch.setattr(messages, "INSTALLED", "0.0.9")
            return push(message)

    monkeypatch.setattr(grid.devices[2], "answer", answer)
    nodes = Nodes(grid, tmp_path, 3, (3, 3), grid.registered)
    nodes.meet()
    nodes._publish([])
    published = absent.read(tmp_path).refused["node-2"].reason
    assert "the node has fedspike 0.0.9" in published
    assert f"pip install 'fedspike=={ours}'" in published
    assert published == nodes.absent()[0]["error"]
    assert f"the server has fedspike {ours}, and here is 0.0.9" in told[0]
    assert set(nodes.hosts.values()) == {1, 3}


def test_a_node_without_room_for_its_memory_says_so_and_goes_on_when_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The round goes on without it, and what it remembered before is whole."""
    experiment = toy(ANN(FullyConnected((4,))))  # SCAFFOLD: clients remember
    plan = msgspec.structs.replace(experiment.runs[0].plan, rounds=3)
    grid, told = dealt_out(experiment, tmp_path, nodes=3), list[str]()
    monkeypatch.setattr(grid.devices[2], "say", told.append)
    nodes = Nodes(grid, tmp_path, 3, (3, 3), grid.registered)
    nodes.wait_for(3, lambda _: None)
    happening = rounds(plan, Flower(nodes, 60.0))
    assert next(happening).missing == ()
    home = grid.devices[2].home
    before = {file: file.read_bytes() for file in home.rglob("*.safetensors")}
    write = files._write_through

    def full(name: str, content: bytes, folder: int, mode: int = 0o666) -> None:
        if Path(f"/proc/self/fd/{folder}").readlink().name == "client-1":
            write(name, content[: len(content) // 2], folder, mode)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(name, content, folder, mode)

    with monkeypatch.context() as patch:
        patch.setattr(files, "_write_through", full)
        second = next(happening)
    assert second.missing == (1,)
    assert "No space left on device" in second.nodes[1]["error"]
    assert "free some space" in second.nodes[1]["error"]
    assert "No space left on device" in told[-1]
    left = [file for file in home.rglob("*") if file.is_file() and file.suffix != ".npz"]
    assert {file: file.read_bytes() for file in left} == before
    assert next(happening).missing == ()
    assert told[-1] == "node-2 is mended: it takes part again"


def test_a_full_disk_is_named_and_nothing_else_is_blamed_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log without room ends no work; a server that does not start may have another reason."""
    files.demand_room(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(files, "ROOM", 2**62)
        with pytest.raises(InputError, match=r"the disk of .* is full\n.*\n.*free some space"):
            files.demand_room(tmp_path)
    trainings = iter([InputError("rounds.jsonl", expected="-", fix="-"), None])
    rooms, told = iter([True, True, False]), list[str]()

    def train(*_: object) -> None:
        if error := next(trainings):
            raise error

    monkeypatch.setattr(trainer, "train", train)
    monkeypatch.setattr(trainer, "is_full", lambda _: next(rooms))
    monkeypatch.setattr(trainer, "LOOK_FOR_ROOM_S", 0.0)
    trainer.train_with_room(InProcess({}, {}), FleetFolder(tmp_path), told.append)
    assert not [*trainings, *rooms]
    assert told[0].startswith("the disk is full, waiting for room: rounds.jsonl")

    def no_room(_: str) -> None:
        raise OSError(errno.ENOSPC, "-")

    monkeypatch.setattr("sys.stderr", SimpleNamespace(write=no_room))
    say("a line")
    trainer.said("a line")


def test_a_server_that_does_not_hear_the_good_bye_holds_up_no_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "GOOD_BYE_WITHIN_S", 0.05)
    heard, line = threading.Event(), object.__new__(Line)
    monkeypatch.setattr(Line, "say_good_bye", lambda _: heard.wait(60))
    node = Device("node-0", tmp_path, tmp_path)
    leaving = device.Participant(NodeFolder(tmp_path), node, lambda _: None, line=line)
    began = time.monotonic()
    leaving.say_good_bye()
    heard.set()
    assert time.monotonic() - began < 30
