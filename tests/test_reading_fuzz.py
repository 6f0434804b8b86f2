"""Spoilt experiments, options and prices: what they say, or an InputError, soon and in little memory."""

import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any

import pytest
import tomli_w

from counted_example import counted
from fedspike.energy import pricing, profiles
from fedspike.energy.bill import highest_level
from fedspike.energy.profiles import Profile
from fedspike.energy.recorded import Recorded
from fedspike.experiment import sweep
from fedspike.experiment.plans import toml_of
from fedspike.layers.activity import Activity
from fuzzing import spoilt, spoilt_bytes, withstands

pytestmark = pytest.mark.fuzz
# A run of each preset with all that it leaves out, and a small sweep.
RUNS = {
    tuple(values): values
    for preset in sweep.presets()
    for run in sweep.read(preset).runs
    for values in [toml_of(run.plan)]
}
EXPERIMENTS: list[dict[str, Any]] = [
    *RUNS.values(),
    {
        "name": "swept",
        "centralised_baseline": True,
        "remedies": [{"kind": "clipping", "norm": 2.0}],
        "sweep": {"together": [{"code": {"kind": "phase"}, "neuron": {"beta": 0.5}}], "seed": [3]},
    },
]
OPTIONS = (
    *("rounds=5", "snn.time_steps=10", 'code.kind="phase"', "architecture.hidden=[3, 4]"),
    *("sweep.seed=[1, 2]", "neuron={kind = 'lif', beta = 0.5}", "partition.kind=classes"),
)
FOLDER = Path(profiles.__file__).parent
PRICES = [path.read_bytes() for path in sorted(FOLDER.glob("*/*.toml"))]
WORK = Recorded(
    counted(), Activity(10**12, 10**10, {"hidden": 10**15, "output": 10**14}, 10**13, {})
)


def plans(path: Path) -> None:
    for run in sweep.read(str(path)).runs:
        assert run.settings_sha256
        assert toml_of(run.plan)["name"] == run.plan.name


def prices(path: Path) -> None:
    read = pricing.read(path)
    if isinstance(read, Profile):
        WORK.bill(WORK.counts, read, highest_level(read))


def written(values: Mapping[str, Any]) -> bytes:
    """As TOML, which lacks nothing and halves of letters: without what it cannot say."""
    try:
        return tomli_w.dumps(values).encode()
    except (TypeError, UnicodeEncodeError):
        return b"[["


def read_spoilt(read: Callable[[Path], object], path: Path, contents: list[bytes]) -> None:
    """Hold a reader of files to its promise; half of them are spoilt as bytes, half in their values."""

    def spoil(random: Random) -> bytes:
        content = random.choice(contents)
        if random.random() < 0.5:
            return written(spoilt(tomllib.loads(content.decode()), random))
        return spoilt_bytes(content, random)

    def read_content(content: bytes) -> None:
        path.write_bytes(content)
        read(path)

    withstands(read_content, spoil)


def test_experiments(tmp_path: Path) -> None:
    read_spoilt(plans, tmp_path / "spoilt.toml", [written(one) for one in EXPERIMENTS])


def test_options() -> None:
    def spoil(random: Random) -> list[str]:
        return [
            spoilt_bytes(random.choice(OPTIONS).encode(), random).decode(errors="replace")
            for _ in range(random.randint(1, 2))
        ]

    withstands(lambda options: sweep.read("fleet", options).runs, spoil)


def test_prices(tmp_path: Path) -> None:
    read_spoilt(prices, tmp_path / "mine.toml", PRICES)
