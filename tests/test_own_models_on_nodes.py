"""Models that never leave their devices are tested there: with the simulation's accuracies, whoever lies."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from flwr.app import Message, MessageType
from flwr.app.error import Error
from safetensors.torch import load as load_tensors

from fedspike.experiment import document, sweep
from fedspike.federation import tensor_bytes
from fedspike.federation.places.flower import messages
from fedspike.federation.places.flower.examining import CLASS, TEST
from fedspike.federation.places.flower.messages import ExamReport
from fedspike.records.events import Finished, Trained
from fedspike.records.schema import RoundRecord, RunSummary
from fleet_in_process import InProcess, dealt_out, on_the_fleet
from running import events

# The rate code draws its spikes by the number of a sample among all.
FILE = """
name = "own"
rounds = 2
network = "snn"
test_noise = [0.3]
[data]
kind = "fashion-mnist-sample"
[partition]
kind = "classes"
classes = 3
[fleet]
clients = 4
samples_per_round = 40
memory_kb = [100000]
[architecture]
hidden = [10]
[snn]
time_steps = 5
[learner]
batch_size = 10
"""
MORE = {
    "local-only": "",
    "fedper": '[[remedies]]\nkind = "qsgd"\n',
    "ditto": '[[remedies]]\nkind = "smaller-parts"\n',  # of which each device's memory picks one
    "fedbn": '[normalisation]\nkind = "bntt"\n',
}


def experiment(algorithm: str, more: str = "", rounds: int = 2) -> sweep.Experiment:
    text = f'{FILE}[algorithm]\nkind = "{algorithm}"\n{more}'
    return sweep.expand(
        document.parse(text.replace("rounds = 2", f"rounds = {rounds}"), "own.toml")
    )


def done(happening: Any) -> tuple[list[RoundRecord], RunSummary]:
    seen = list(happening)
    [summary] = [event.summary for event in seen if isinstance(event, Finished)]
    return [event.record for event in seen if isinstance(event, Trained)], summary


@pytest.mark.parametrize("algorithm", MORE)
def test_accuracies_on_nodes_are_those_of_the_simulation(algorithm: str, tmp_path: Path) -> None:
    """Sample by sample, in noise, too, and with the same spikes; on nodes with two clients each."""
    own = experiment(algorithm, MORE[algorithm])
    here, summary = done(events(own, tmp_path / "here"))
    there, other = done(on_the_fleet(own, dealt_out(own, tmp_path, 2), tmp_path))
    for one, same in zip(here, there, strict=True):
        assert (one.accuracy, one.tested) == (same.accuracy, same.tested)
        assert all(entry.error is None for entry in same.nodes)
    for name in ("accuracy", "accuracy_of", "disturbed", "predictions", "neurobench"):
        assert getattr(summary, name) == getattr(other, name), name
    assert summary.accuracy_of == "own models, own samples"
    assert len({*summary.accuracy, summary.disturbed[0].accuracy}) > 1


def report(change: Callable[[ExamReport], dict[str, Any]]) -> Callable[[Message], None]:
    def lie(message: Message) -> None:
        record = message.content.config_records[messages.RECORD]
        told = messages.unpack(message.content, ExamReport)
        changed = msgspec.structs.replace(told, **change(told))
        record[messages.MESSAGE] = msgspec.msgpack.encode(changed)

    return lie


def activity(**changes: Any) -> Callable[[Message], None]:
    return report(
        lambda told: {"activity": {k: replace(own, **changes) for k, own in told.activity.items()}}
    )


def classes(change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Message], None]:
    def lie(message: Message) -> None:
        record = message.content.config_records[messages.RECORD]
        tensors = load_tensors(record[messages.TENSORS])
        name = f"3/{TEST}/{CLASS}"
        record[messages.TENSORS] = tensor_bytes.pack(tensors | {name: change(tensors[name])})

    return lie


def other_client(told: ExamReport) -> dict[str, Any]:
    return {"activity": {0: told.activity[2], 3: told.activity[3]}}


def spoilt(message: Message) -> None:
    message.content.config_records[messages.RECORD][messages.TENSORS] = b"spoilt"


def nothing(message: Message) -> None:
    del message.content[messages.RECORD]


LIES = {
    "a negative class": (
        classes(lambda c: c.index_fill(0, torch.tensor([0]), -1)),
        "a class from 0 to 9",
    ),
    "a class too high": (classes(lambda c: c + 10), "a class from 0 to 9"),
    "too many": (classes(lambda c: torch.cat([c, c])), "3/test class is|bytes; expected at most"),
    "too few": (classes(lambda c: c[1:]), "3/test class is"),
    "nan": (classes(lambda c: torch.full(c.shape, torch.nan, dtype=torch.float64)), "float64"),
    "another round": (report(lambda told: {"round": told.round + 1}), r"an exam of round \d+,"),
    "another's client": (report(other_client), "for the clients 0, 3"),
    "a client less": (report(lambda t: {"activity": {2: t.activity[2]}}), "for the clients? 2"),
    "more samples": (activity(samples=10**6), "1000000 samples"),
    "steps": (activity(steps=1), "1 steps"),
    "too many spikes": (activity(events_out=10**12), "events out"),
    "negative spikes": (activity(events_out=-1), "no ExamReport"),
    "another layer": (activity(events_in={"mine": 1}), "other layers"),
    "spoilt tensors": (spoilt, "tensors"),
    "no record": (nothing, "no ExamReport"),
}


def lying(
    grid: InProcess, lie: Callable[[Message], Message | None], nodes: tuple[int, ...]
) -> None:
    def meddle(node: int, message: Message) -> Message | None:
        asked = message.metadata.message_type == MessageType.EVALUATE
        return lie(message) if asked and node in nodes else message

    grid.meddle = meddle


def test_who_says_what_cannot_be_is_not_tested_and_the_others_are(tmp_path: Path) -> None:
    """A lie of the second node in each round but the last, which is the simulation's again."""
    own = experiment("fedper", rounds=len(LIES) + 1)
    honest, _ = done(events(own, tmp_path / "here"))
    grid, lies = dealt_out(own, tmp_path, 2), iter(LIES.values())

    def spoil(message: Message) -> Message:
        lie, _ = next(lies, (lambda _: None, ""))
        lie(message)
        return message

    lying(grid, spoil, (2,))
    records, _ = done(on_the_fleet(own, grid, tmp_path))
    for (what, (_, words)), record, other in zip(LIES.items(), records, honest, strict=False):
        [entry] = [entry for entry in record.nodes if entry.error]
        assert (entry.node, entry.clients, record.rejected) == ("node-2", [], []), what
        assert entry.error is not None
        assert entry.error.startswith("its clients' own models are not tested: "), what
        assert re.search(words, entry.error), (what, entry.error)
        assert 0 < record.tested.samples < other.tested.samples
    assert (records[-1].accuracy, records[-1].tested) == (honest[-1].accuracy, honest[-1].tested)


def gone(message: Message) -> Message:
    """What Flower answers in the place of a node that it has given up."""
    message.metadata.__dict__["_message_id"] = message.metadata.reply_to_message_id
    return Message(Error(code=1, reason="gone"), reply_to=message)


@pytest.mark.parametrize("how", ["an error", "silence", "away"])
def test_who_is_gone_is_not_tested(how: str, tmp_path: Path) -> None:
    """To the end: the predictions that are stored are those of the samples that were tested."""
    own = experiment("local-only")
    grid = dealt_out(own, tmp_path, 2)

    def leaves(message: Message) -> Message | None:
        return gone(message) if how == "an error" else None

    def goes(_: int, message: Message) -> Message:
        if message.metadata.message_type == MessageType.TRAIN:
            grid.away = {2}
        return message

    lying(grid, leaves, (2,))
    if how == "away":
        grid.meddle = goes
    records, summary = done(on_the_fleet(own, grid, tmp_path, 60.0 if how != "silence" else 0.5))
    words = {"an error": "gone", "silence": "no answer before", "away": "it is not there"}[how]
    assert any(words in (entry.error or "") for entry in records[0].nodes)
    predictions = summary.predictions
    assert predictions is not None
    right = sum(map(int.__eq__, predictions.labels_base64, predictions.predicted_base64))
    assert len(predictions.labels_base64) == records[-1].tested.samples < 1000
    assert summary.final_accuracy == right / records[-1].tested.samples


def test_where_nobody_answers_a_warning_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own = experiment("local-only")
    grid = dealt_out(own, tmp_path, 2)
    lying(grid, gone, (1, 2))
    records, _ = done(on_the_fleet(own, grid, tmp_path))
    assert "none could be tested: read no accuracy" in caplog.text
    assert [len([e for e in record.nodes if e.error]) for record in records] == [2, 2]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"remembered": {0: 1}}, "a task for the client"),
        ({"samples": {2: 5, 3: 5}}, "tensors of"),
        ({"samples": {2: 300, 3: 900}}, "an exam for client 2 with wrong shape"),
        ({"remembered": {2: 7, 3: 1}}, "client 2 has forgotten what it knew after round 7"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_a_node_refuses_an_exam_that_is_none_for_it(
    tmp_path: Path, change: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For clients of others, of another form, or of what its client has forgotten."""
    own = experiment("fedper")
    grid = dealt_out(own, tmp_path, 2)
    asked = grid.devices[2].answer

    def answer(message: Message) -> Message:
        if message.metadata.message_type == MessageType.EVALUATE:
            record = message.content.config_records[messages.RECORD]
            task = messages.unpack(message.content, messages.ExamTask)
            changed = msgspec.structs.replace(task, **change)
            record[messages.MESSAGE] = msgspec.msgpack.encode(changed)
        return asked(message)

    monkeypatch.setattr(grid.devices[2], "answer", answer)
    happening = on_the_fleet(own, grid, tmp_path)
    first = next(event.record for event in happening if isinstance(event, Trained))
    [error] = [entry.error for entry in first.nodes if entry.error]
    assert words in error
