"""Round records that are changed, cut, doubled or another run's: a refusal, or what can be priced."""

import json
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

import fedspike as fs
from fedspike.energy.account import work
from fedspike.energy.profiles import shipped
from fedspike.errors import InputError
from fedspike.records import reader
from fuzzing import spoilt, spoilt_bytes, withstands
from test_links import PLAN

PROFILE = shipped()["horowitz45-int8"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    fs.run(PLAN, folder)
    return folder / "ann"


@pytest.mark.fuzz
def test_whatever_is_read_can_be_priced(home: Path) -> None:
    content = (home / "rounds.jsonl").read_bytes()
    records = [json.loads(line) for line in content.splitlines()]
    summary = reader.run(home)
    assert summary is not None

    def spoil(random: Random) -> bytes:
        if random.random() < 0.5:
            return spoilt_bytes(content, random)
        return b"\n".join(json.dumps(one).encode() for one in spoilt(records, random))

    def use(lines: bytes) -> None:
        rounds = reader.decode_rounds(lines, home / "rounds.jsonl")
        whole = work(summary.network_operations, rounds)
        whole.trained.bill(whole.training(), PROFILE, "training")

    withstands(use, spoil)


FAULTS: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "cut": lambda lines: lines[:-1],
    "doubled": lambda lines: [*lines, lines[-1]],
    "in another order": lambda lines: lines[::-1],
    "none": lambda _: [],
    "edited": lambda lines: [lines[0].replace(b'"accuracy": 0.', b'"accuracy": 0.1'), *lines[1:]],
    "foreign": lambda lines: [line.replace(b'"samples": 4', b'"samples": 5') for line in lines],
}


@pytest.mark.parametrize("fault", FAULTS)
def test_records_of_another_run_are_not_priced(fault: str, home: Path) -> None:
    path = home / "rounds.jsonl"
    content = path.read_bytes()
    changed = b"".join(FAULTS[fault](content.splitlines(keepends=True)))
    assert changed != content
    try:
        path.write_bytes(changed)
        with pytest.raises(InputError, match=r"rounds\.jsonl"):
            reader.with_rounds(home)
    finally:
        path.write_bytes(content)
    assert len(reader.with_rounds(home)) == 1
