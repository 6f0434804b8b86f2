"""Records of many rounds: read as they were written, in little memory, as often as they are asked for."""

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

import fedspike as fs
from fedspike.energy import account
from fedspike.energy.account import work
from fedspike.errors import InputError
from fedspike.files import json_bytes
from fedspike.records import checkpoint, reader, stored_rounds, writer
from fedspike.records.schema import RoundRecord
from fedspike.records.seal import fingerprint
from fedspike.records.stored_rounds import StoredRounds
from fedspike.report.analysis.course import course

PLAN = fs.Plan(
    network=fs.SNN(3, fs.FullyConnected((4,))),
    data=fs.FashionMNISTSample(),
    fleet=fs.Fleet(10, samples_per_round=5),
    learner=fs.Backpropagation(batch_size=5),
    rounds=1,
)


@pytest.fixture(scope="module")
def record() -> RoundRecord:
    """Of ten clients."""
    return writer.round_record(next(fs.rounds(PLAN)))


def numbered(record: RoundRecord, rounds: int) -> Iterator[RoundRecord]:
    return (replace(record, round=number) for number in range(1, rounds + 1))


@pytest.fixture(params=["small", "large"])
def limits(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Whether a file's records stay in memory; pieces of a few records."""
    monkeypatch.setattr(stored_rounds, "AT_ONCE", 10_000)
    if request.param == "large":
        monkeypatch.setattr(stored_rounds, "KEPT", 5_000)
    return str(request.param)


@pytest.mark.usefixtures("limits")
def test_records_are_read_as_they_were_written(record: RoundRecord, tmp_path: Path) -> None:
    """As they are appended, and from the file."""
    path, expected = tmp_path / "rounds.jsonl", list(numbered(record, 23))
    journal = checkpoint.Journal(path, fingerprint(b""), tmp_path)
    for number, one in enumerate(expected, 1):
        journal.append(one)
        assert journal.records[-1] == one
        assert len(journal.records) == number
    read = reader.rounds(tmp_path)
    with path.open("ab") as file:
        file.write(b'{"round": 24, "acc')  # of which there is no checkpoint
    going_on = checkpoint.Journal(path, journal.fingerprint, tmp_path)
    assert going_on.fingerprint == journal.fingerprint
    for records in (journal.records, read, going_on.records):
        assert list(records) == list(records) == expected
        assert [records[0], records[11], records[-1]] == [expected[0], expected[11], expected[-1]]
        assert (list(records[:7]), records[3:5]) == (expected[:7], expected[3:5])
        with pytest.raises(IndexError):
            records[23]


@pytest.mark.usefixtures("limits")
def test_a_damaged_record_is_named_wherever_it_stands(record: RoundRecord, tmp_path: Path) -> None:
    path = tmp_path / "rounds.jsonl"
    lines = [json_bytes(one, indent=None) for one in numbered(record, 9)]
    for content in (
        b"".join([*lines[:6], lines[6][:-20] + b"\n", *lines[7:]]),
        b"".join([*lines[:4], *lines[5:]]),  # one is missing
        b"".join([*lines[:4], b"\n", *lines[4:]]),
    ):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"rounds.jsonl: cannot be read"):
            reader.rounds(tmp_path)
    path.write_bytes(b"".join(lines))
    if (records := StoredRounds.of(path)).size > stored_rounds.KEPT:
        path.write_bytes(b"".join(lines[:5]))
        with pytest.raises(InputError, match="fewer rounds than it had"):
            list(records)
        path.unlink()
        with pytest.raises(InputError, match="No such file"):
            list(records)


def test_many_rounds_take_little_memory(
    record: RoundRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """800 rounds: as objects they would take 18 MB."""
    monkeypatch.setattr(stored_rounds, "AT_ONCE", 2**16)
    path = tmp_path / "rounds.jsonl"
    lines = [json_bytes(one, indent=None) for one in numbered(record, 800)]
    path.write_bytes(b"".join(lines))
    del lines
    network = PLAN.loaded().site().operations
    peaks = []
    for limit in (2**16, 2**30):
        monkeypatch.setattr(stored_rounds, "KEPT", limit)
        records = stored_rounds.unread(path)
        tracemalloc.start()
        whole = work(network, records)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert (whole.rounds, len(records)) == (800, 800)
    assert whole.uplink_bytes == 800 * record.uplink_bytes
    assert peaks[0] < peaks[1] / 8


def test_the_work_of_any_first_rounds_is_their_sum(
    record: RoundRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of many rounds a few works are kept, and the others made again: the same."""
    monkeypatch.setattr(stored_rounds, "KEPT", 5_000)
    path, network = tmp_path / "rounds.jsonl", PLAN.loaded().site().operations
    idle = replace(record, round=1, activity={}, clients=[])
    lines = [idle, *(replace(one, round=one.round + 1) for one in numbered(record, 29))]
    path.write_bytes(b"".join(json_bytes(one, indent=None) for one in lines))
    monkeypatch.setattr(account, "MOST_KEPT", 4)
    run = course(network, reader.rounds(tmp_path))
    assert (len(run.works), run.works[0], run.trainings) == (30, None, 29 * 10)
    for number in (2, 7, 8, 9, 16, 30):
        assert run.works[number - 1] == work(network, lines[:number])
    assert run.works[-1] == work(network, lines)
    assert run.sent_bytes == [
        n * (record.uplink_bytes + record.downlink_bytes) for n in range(1, 31)
    ]
    with pytest.raises(IndexError):
        run.works[30]
