"""One bad answer is its node's rejection, whatever it is: the others' round goes on, to the bit."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from flwr.app import ConfigRecord, Message, MessageType, RecordDict
from hypothesis import strategies as st
from msgspec.structs import replace
from torch import Tensor

from fedspike.cli.progress import refusals
from fedspike.errors import InputError
from fedspike.experiment.sweep import Run
from fedspike.federation import tensor_bytes
from fedspike.federation.devices import Fleet
from fedspike.federation.places.flower import messages, server
from fedspike.federation.rounds import rounds
from fedspike.files import json_bytes
from fedspike.layers.activity import Activity
from fedspike.networks import ANN, SNN, FullyConnected
from fedspike.records import ledger, reader, writer
from fleet_in_process import dealt_out, on_the_fleet
from fuzzing import withstands_all
from hostile import Parcel, World, parcel, same
from strange_messages import answers, contents
from test_messages import DATA, HIDDEN, LABELS, PIXELS, gone, plan_of, toy
from test_summaries_fuzz import shown

SIDE = FullyConnected((HIDDEN,))
CLIENT = 1
Harm = Callable[[dict[str, Any], dict[str, Tensor]], None]
HOSTILE = 8  # answers that a round gets beside those of two honest nodes
# The clients of a node, by the network.
WORLDS = {"conventional": (ANN(SIDE), 1), "spiking": (SNN(architecture=SIDE, time_steps=5), 2)}
MOST_MEMORY = 128 * 2**20  # bytes that all messages may add, what Hypothesis remembers included


@pytest.fixture(scope="module", params=WORLDS)
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> World:
    network, clients = WORLDS[request.param]
    nodes = HOSTILE + 2
    plan = replace(
        plan_of(network),
        fleet=Fleet(clients=nodes * clients),
        data=dataclasses.replace(
            DATA, x_train=np.tile(PIXELS, (4, 1, 1)), y_train=np.tile(LABELS, 4)
        ),
    )
    experiment = dataclasses.replace(toy(network), runs=(Run("toy", plan),))
    return World(experiment, tmp_path_factory.mktemp("world"), nodes, HOSTILE)


@pytest.mark.fuzz
def test_the_model_is_that_of_a_round_without_them(world: World) -> None:
    """Where an answer is as good as an honest one, that of a round in which the same is said plainly.

    Eight nodes answer in a round, each something of its own; all that are refused are in its record.
    """
    seen = {"taken": 0, "refused": 0}

    def read(said: tuple[list[Parcel], ...]) -> None:
        parcels = dict(zip(world.hostile, said, strict=True))
        round = world.after(lambda node, _: parcels[node])
        assert len(world.grid._coming) <= HOSTILE
        assert len(world.grid._until) <= HOSTILE
        record = writer.round_record(round)
        (stored,) = reader.decode_rounds(json_bytes(record, indent=None), Path("-"))
        assert all(len(each.detail) < 3000 for each in stored.rejected)
        told, rejected = refusals(stored), {each.sender for each in stored.rejected}
        failed = {node.node: node.failed for node in ledger.nodes(round.network, [stored])}
        taken = {
            reply.sender: world.told_plainly(reply)
            for reply in world.place.answers.replies
            if reply.sender in world.hostile and reply.sender not in rejected
        }
        for node, entry in zip(world.hostile, stored.nodes, strict=False):
            assert entry.node == f"node-{node}"
            assert failed[entry.node] == (entry.error is not None)
            assert (node in taken) == (entry.error is None and node not in rejected)
            assert entry.error is None or f"{entry.node}: {entry.error}" in told

        def plainly(node: int, number: str) -> list[Parcel]:
            if node in taken:
                return [parcel(node, number, taken[node])]
            return world.silent(node, number)

        again = world.after(plainly)
        assert same(round.state.server, again.state.server)
        assert all(w.isfinite().all() for own in again.state.server.values() for w in own.values())
        seen["taken"] += len(taken)
        seen["refused"] += HOSTILE - len(taken)
        if len(taken) < HOSTILE:
            raise InputError("some are refused", expected="", fix="")

    said = [
        answers(node, world.numbers[node], contents(world.content(node), messages.Report))
        for node in world.hostile
    ]
    withstands_all(read, st.tuples(*said), HOSTILE * len(WORLDS), MOST_MEMORY)
    assert min(seen.values()) > 0


def said(**fields: Any) -> Harm:
    """A report in which something else is said."""

    def harm(report: dict[str, Any], _: dict[str, Tensor]) -> None:
        for field, value in fields.items():
            former = report.get(field)
            report[field] = former | value if isinstance(former, dict) else value

    return harm


def did(**counts: Any) -> Harm:
    """A report of which the only client has other counts."""

    def harm(report: dict[str, Any], _: dict[str, Tensor]) -> None:
        (own,) = report["activity"].values()
        own |= counts

    return harm


def sent(change: Callable[[Tensor], Tensor]) -> Harm:
    """Other tensors."""

    def harm(_: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        tensors |= {name: change(tensor) for name, tensor in tensors.items()}

    return harm


def without_training(report: dict[str, Any], _: dict[str, Tensor]) -> None:
    report["seconds"] = {}


def under_other_names(_: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    tensors |= {f"{name}s": tensors.pop(name) for name in list(tensors)}


def of_another_layer(report: dict[str, Any], _: dict[str, Tensor]) -> None:
    (own,) = report["activity"].values()
    own["events_in"] = {f"{name}s": count for name, count in own["events_in"].items()}


def for_others(report: dict[str, Any], _: dict[str, Tensor]) -> None:
    for by_client in (report["samples"], report["activity"], report["losses"]):
        by_client[2] = by_client.pop(CLIENT)


def of_terabytes(record: dict[str, Any]) -> None:
    header = (
        b'{"update/x":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,4398046511104]}}'
    )
    record[messages.TENSORS] = len(header).to_bytes(8, "little") + header


def damaged(record: dict[str, Any]) -> None:
    record[messages.TENSORS] = record[messages.TENSORS][:40]


def garbage(record: dict[str, Any]) -> None:
    record[messages.MESSAGE] = b"\xff" * 100


def an_array(record: dict[str, Any]) -> None:
    record[messages.TENSORS] = [1.0, 2.0]


def endless(record: dict[str, Any]) -> None:
    record[messages.TENSORS] = bytes(10**6)


NAN, INF = float("nan"), float("inf")
# What the audit of commit 41d8f0b tried, and what was close to it: the harm, and words of its rejection.
IN_WHAT_IS_SAID: dict[str, tuple[Harm, str]] = {
    "numbers that are nan": (sent(lambda t: t * NAN), "nan"),
    "infinite numbers": (sent(lambda t: t - INF), "inf"),
    "too large numbers": (sent(lambda t: t * 0 + 1e30), "1e"),
    "other names": (under_other_names, "unknown"),
    "other shapes": (sent(lambda t: t.unsqueeze(0)), "not ["),
    "one number that would be spread out": (sent(lambda t: t.reshape(-1)[:1]), "not ["),
    "other types": (sent(lambda t: t.double()), "float64"),
    "another round": (said(round=7), "round 7"),
    "more samples than were declared": (said(samples={CLIENT: 10**6}), "1000000"),
    "fewer than none": (said(samples={CLIENT: -9}), "Expected `int` >= 0"),
    "no samples": (said(samples={CLIENT: 0}), "samples in"),
    "another node's clients": (for_others, "clients 2"),
    "seconds that are nan": (said(seconds={"training": NAN}), "seconds"),
    "seconds below 0": (said(seconds={"training": -1e9}), "seconds"),
    "no seconds of training": (without_training, "seconds"),
    "joules that are nan": (said(joules={"usb": NAN}), "joules"),
    "joules of a bomb": (said(joules={"usb": 1e300}), "joules"),
    "a sensor with a name of 5 MB": (said(joules={"x" * 5_000_000: 1.0}), "length"),
    "a loss that is nan": (said(losses={CLIENT: NAN}), "loss of nan"),
    "a loss of 1e300": (said(losses={CLIENT: 1e300}), "loss of 1e+300"),
    "2^64 - 1 samples": (did(samples=2**64 - 1), "samples"),
    "2^62 samples": (did(samples=2**62), "samples"),
    "activity without samples": (did(samples=0), "0 samples"),
    "an absurd number of events": (did(events_out=2**50), "events out"),
    "activity of another layer": (of_another_layer, "other layers"),
}
IN_THE_RECORD: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "a header that claims terabytes": (of_terabytes, "tensors"),
    "a damaged header": (damaged, "tensors"),
    "garbage": (garbage, "no Report"),
    "a list in the place of bytes": (an_array, "in the place of bytes"),
    "more bytes than there may be": (endless, "1000000 bytes"),
}


def harmed(content: RecordDict, name: str) -> RecordDict:
    """An honest answer, with one of the harms."""
    record: dict[str, Any] = dict(content.config_records[messages.RECORD])
    if name in IN_THE_RECORD:
        IN_THE_RECORD[name][0](record)
    else:
        report = msgspec.msgpack.decode(record[messages.MESSAGE], strict=False)
        tensors = tensor_bytes.unpack(record[messages.TENSORS], "-", "-")
        IN_WHAT_IS_SAID[name][0](report, tensors)
        record[messages.MESSAGE] = msgspec.msgpack.encode(report)
        record[messages.TENSORS] = tensor_bytes.pack(tensors)
    return RecordDict({messages.RECORD: ConfigRecord(record)})


@pytest.mark.thorough
def test_all_harms_of_the_audit_end_as_one_nodes_rejections(tmp_path: Path) -> None:
    """A round for each: the reason is in its record, summary and page are made, and the model is that of a
    training in which the node was silent."""
    harms = [*IN_WHAT_IS_SAID, *IN_THE_RECORD]
    experiment = toy(ANN(SIDE))
    run = replace(experiment.runs[0].plan, rounds=len(harms))
    experiment = dataclasses.replace(experiment, runs=(Run("toy", run),))

    def trained(folder: Path, meddle: Callable[[Message], Message]) -> bytes:
        grid = dealt_out(experiment, folder, nodes=3)
        grid.meddle = lambda node, message: (
            meddle(message)
            if (node, message.metadata.message_type) == (2, MessageType.TRAIN)
            else message
        )
        list(on_the_fleet(experiment, grid, folder))
        return (folder / "run" / "toy" / writer.MODEL).read_bytes()

    left = iter(harms)

    def harmful(message: Message) -> Message:
        message.content = harmed(message.content, next(left))
        return message

    assert trained(tmp_path / "harmed", harmful) == trained(tmp_path / "silent", gone)
    run_folder = tmp_path / "harmed" / "run"
    records = reader.rounds(run_folder / "toy")
    reasons = {
        name: " ".join([record.nodes[1].error or "", *(each.detail for each in record.rejected)])
        for name, record in zip(harms, records, strict=True)
    }
    words = {name: words for name, (_, words) in (IN_WHAT_IS_SAID | IN_THE_RECORD).items()}
    assert {name: reasons[name] for name in harms if words[name] not in reasons[name]} == {}
    assert all([each.sender for each in record.rejected] == [2] for record in records)
    (summary,) = reader.read(run_folder).runs
    assert sum(summary.rejected.values()) == len(harms)
    shown(run_folder)


def test_a_poisoned_round_is_never_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were a claim let through, the training would stop before that round, and go on when it is mended."""
    experiment = toy(ANN(SIDE))
    grid = dealt_out(experiment, tmp_path, nodes=3)
    home, orders = tmp_path / "run" / "toy", []

    def in_the_second_round(node: int, message: Message) -> Message:
        if (node, message.metadata.message_type) == (2, MessageType.TRAIN):
            orders.append(message)
            if len(orders) == 2:
                message.content = harmed(message.content, "no seconds of training")
        return message

    grid.meddle = in_the_second_round
    with monkeypatch.context() as patch:
        patch.setattr(server, "demand_plausible", lambda *_: None)
        with pytest.raises(InputError, match="round 2 has a record that cannot be read again"):
            list(on_the_fleet(experiment, grid, tmp_path))
    assert len(reader.rounds(home)) == 1
    list(on_the_fleet(experiment, grid, tmp_path))
    assert [record.rejected for record in reader.rounds(home)] == [[], []]


def test_a_round_that_could_not_be_read_again_has_no_record() -> None:
    (run,) = toy(ANN(SIDE)).runs
    round = next(rounds(run.plan))
    node = {"node": "x", "clients": [0], "downlink_bytes": 0, "seconds": {"training": 1.0}}
    stranger = Activity(1, 1, {"elsewhere": 1})
    poisons: list[dict[str, Any]] = [
        {"accuracy": NAN},
        {"seconds": {"training": -1.0}},
        {"seconds": {"training": INF}},
        {"uplink_bytes": -1},
        {"activity": {0: stranger}},
        {"activity": {-1: round.tested}},
        {"activity": {0: dataclasses.replace(round.tested, samples=2**70)}},
        {"nodes": ({**node, "seconds": {}},)},
        {"nodes": ({**node, "joules": {"usb": NAN}},)},
        {"missing": (-1,)},
    ]
    writer.round_record(dataclasses.replace(round, nodes=(node,)))
    for poison in poisons:
        with pytest.raises(InputError, match="round 1 has a record that cannot be read again"):
            writer.round_record(dataclasses.replace(round, **poison))
