"""When a node takes work, on machines whose state is made up in files; and that it declines at once else."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import tomli_w
import torch

from fedspike.cli import main
from fedspike.deploy import certificates, keys
from fedspike.deploy.folder import NodeFolder, NodeSettings
from fedspike.energy.meters import Unavailable
from fedspike.errors import InputError
from fedspike.federation.places.flower import conditions
from fedspike.federation.places.flower.conditions import (
    Conditions,
    Cool,
    Frugal,
    Idle,
    Machine,
    OnMains,
    Watch,
    watch,
)
from fedspike.federation.places.flower.nodes import Nodes
from fedspike.federation.places.flower.server import Flower
from fedspike.federation.rounds import rounds
from fedspike.networks import ANN, SNN, FullyConnected
from fleet_in_process import dealt_out
from test_messages import toy


class Clock:
    """Seconds that pass when they are told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Drawing:
    """A sensor of a machine that draws so many watts."""

    name = "made up"

    def __init__(self, clock: Clock, watts: float) -> None:
        self.clock, self.watts = clock, watts
        self._last, self._joules = 0.0, 0.0

    def joules(self) -> dict[str, float]:
        self._joules += (self.clock.now - self._last) * self.watts
        self._last = self.clock.now
        return {"package": self._joules, "dram": self._joules / 10}


def supply(home: Path, name: str, **files: str) -> None:
    (home / name).mkdir(parents=True, exist_ok=True)
    for file, text in files.items():
        (home / name / file).write_text(f"{text}\n")


def test_mains_are_those_of_the_machine_and_not_of_its_mouse(tmp_path: Path) -> None:
    machine = Machine(power_supplies=tmp_path)
    supply(tmp_path, "mouse", type="Battery", status="Discharging", scope="Device")
    with pytest.raises(InputError, match="leave out --only-on-mains"):
        OnMains(machine)
    supply(tmp_path, "BAT0", type="Battery", status="Charging")
    condition = OnMains(machine)
    assert condition.obstacle() == ""
    supply(tmp_path, "BAT0", status="Discharging")
    assert condition.obstacle() == "on battery"
    supply(tmp_path, "AC", type="Mains", online="1")  # it gives too little, and still
    assert condition.obstacle() == ""
    supply(tmp_path, "AC", online="0")
    assert condition.obstacle() == "on battery"


def test_a_machine_is_idle_beside_the_nodes_own_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, clock, own = tmp_path / "stat", Clock(), 0.0
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    monkeypatch.setattr("os.sysconf", lambda _: 100)
    monkeypatch.setattr("time.process_time", lambda: own)
    with pytest.raises(InputError, match="leave out --only-when-idle"):
        Idle(Machine(processor_times=file))

    def busy(seconds: float, idle: float = 0.0) -> None:
        file.write_text(f"cpu {seconds * 100:.0f} 0 0 {idle * 100:.0f} 0 0 0 0 0 0\ncpu0 1 0\n")

    busy(50)
    condition = Idle(Machine(processor_times=file), clock)
    clock.now, own = 10.0, 40.0
    busy(90 + 9, idle=1e6)
    assert condition.obstacle() == ""  # 40 s of 49 were ours
    clock.now = 20.0
    busy(99 + 11)
    assert condition.obstacle() == "other programs keep 1.1 of 4 cores busy"
    clock.now = 21.0
    assert condition.obstacle() != ""  # too soon for another measurement
    clock.now = 30.0
    assert condition.obstacle() == ""


def test_the_hottest_thermometer_counts(tmp_path: Path) -> None:
    machine = Machine(thermal_zones=tmp_path)
    supply(tmp_path, "thermal_zone0", type="asleep")
    with pytest.raises(InputError, match="no thermometer in"):
        Cool(70.0, machine)
    supply(tmp_path, "thermal_zone1", temp="41000")
    supply(tmp_path, "thermal_zone2", temp="69900")
    condition = Cool(70.0, machine)
    assert condition.obstacle() == ""
    supply(tmp_path, "thermal_zone2", temp="70000")
    assert condition.obstacle() == "70 degrees Celsius hot"
    for each in tmp_path.glob("*/temp"):
        each.unlink()
    declined = Watch((condition,)).obstacle()
    assert declined
    assert "cannot be read any more" in declined.passed


def test_mean_power_from_one_work_to_the_next_is_below_the_limit() -> None:
    """30 W while it trains for 1 s, 6 W else: at most 15 W takes 1.67 s for each second of training."""
    clock = Clock()
    sensor = Drawing(clock, 6.0)
    condition = Frugal(15.0, Machine(sensors=lambda: [sensor]), clock, clock.sleep)
    assert condition.obstacle() == ""
    joules = []
    for _ in range(3):
        condition.begin()
        joules.append((clock.now, sensor.joules()["package"]))
        sensor.watts = 30
        clock.sleep(1.0)
        assert condition.obstacle() == "drew 30 W since its last task began"
        sensor.watts = 6
        while condition.obstacle():
            clock.sleep(0.01)
    (first, before), *_, (last, after) = joules
    assert 14.5 < (after - before) / (last - first) <= 15


@pytest.mark.parametrize(
    "found", [[], [Unavailable("powercap", "no such folder")], [Drawing(Clock(), 0.0)]]
)
def test_watts_that_nobody_counts_are_refused(found: list[Unavailable | Drawing]) -> None:
    clock = Clock()
    with pytest.raises(InputError, match="leave out --at-most-watts"):
        Frugal(15.0, Machine(sensors=lambda: found), clock, clock.sleep)


NODE = b"""node = "a"
server = "localhost:8000"
classes = 10
shape = [28, 28]
[conditions]
below_celsius = 60
only_on_mains = true
"""


def test_options_stand_before_the_file(tmp_path: Path) -> None:
    (tmp_path / "node.toml").write_bytes(NODE)
    options = {"below_celsius": 70.0, "only_on_mains": False, "folder": "x"}
    wanted = NodeFolder(tmp_path).settings_with(options).conditions
    assert (wanted.below_celsius, wanted.only_on_mains) == (70, True)
    assert watch(Conditions()).obstacle() is None


@pytest.mark.parametrize(
    ("line", "option", "words"),
    [
        (
            "below_celcius = 60",
            "",
            "node.toml, line 6: unknown key conditions.below_celcius\n  expected: in [conditions]: "
            "at_most_cores, at_most_watts, below_celsius, only_on_mains, only_when_idle\n"
            "  fix: did you mean below_celsius?",
        ),
        (
            "below_celsius = 'hot'",
            "",
            'node.toml, line 6: conditions.below_celsius = "hot"\n  expected: a number > 0 and <= 150\n'
            "  fix: correct conditions.below_celsius, or leave it out",
        ),
        (
            "below_celsius = 0",
            "",
            "node.toml, line 6: conditions.below_celsius = 0\n  expected: a num",
        ),
        (
            "only_when_idle = 1",
            "",
            "line 6: conditions.only_when_idle = 1\n  expected: true or false",
        ),
        ("[[conditions]]", "", "fix: correct that place, or take it out of nodes/"),
        (
            "x = 1",
            "--below-celsius=hot",
            "fedspike: fedspike fleet node: --below-celsius hot\n  expected: a number\n  fix:",
        ),
        (
            "below_celsius = 60",
            "--below-celsius=500",
            "fedspike: --below-celsius 500.0: conditions.below_celsius = 500.0\n  expected: a number > 0",
        ),
        ("", "--below-celsius=nan", "--below-celsius nan: conditions.below_celsius = nan"),
        ("", "--at-most-cores=0", "--at-most-cores 0: conditions.at_most_cores = 0"),
        (
            "",
            "--at-most-cores=some",
            "fedspike: fedspike fleet node: --at-most-cores some\n  expected: a whole number\n",
        ),
    ],
)
def test_a_condition_that_is_none_is_named_before_all_else(
    line: str, option: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = NODE.decode().splitlines()
    lines[5] = line
    (tmp_path / "node.toml").write_text("\n".join(lines))
    assert main(["fleet", "node", str(tmp_path), *([option] if option else [])]) == 2
    told = capsys.readouterr().err
    assert told.startswith("fedspike: ")
    assert words in told


def test_a_machine_without_a_sensor_says_so_when_the_node_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    keys.write_private(tmp_path)
    (tmp_path / certificates.AUTHORITY).touch()
    (tmp_path / "data").mkdir()
    node = NodeSettings("a", "localhost:8000", 10, (28, 28))
    (tmp_path / "node.toml").write_text(tomli_w.dumps(msgspec.to_builtins(node)))
    nothing = Machine(tmp_path / "nothing", tmp_path / "nothing")
    monkeypatch.setattr(conditions, "Machine", lambda: nothing)
    for option in ("--only-on-mains", "--below-celsius=70"):
        assert main(["fleet", "node", str(tmp_path), option]) == 2
        assert f"fix: leave out {option.partition('=')[0]}" in capsys.readouterr().err
    with (tmp_path / "node.toml").open("a") as file:
        file.write("below_celsius = 70\nabove = 3\n")
    assert main(["fleet", "node", str(tmp_path)]) == 2
    assert "above" in capsys.readouterr().err


class Sometimes:
    """A condition that holds when it is told to."""

    option, words, begun = "--made-up", "", 0

    def obstacle(self) -> str:
        return self.words

    def begin(self) -> None:
        self.begun += 1


def test_a_node_whose_conditions_do_not_hold_declines_at_once(tmp_path: Path) -> None:
    """The round goes on without it, it is in the record, and it takes part again when they hold."""
    experiment = toy(ANN(FullyConnected((4,))))
    grid, condition, told = dealt_out(experiment, tmp_path, 3), Sometimes(), list[str]()
    device = grid.devices[2]
    device.conditions, device.say = Watch((condition,)), told.append
    condition.words = "on battery"
    nodes = Nodes(grid, tmp_path, 3, (3, 3), grid.registered)
    nodes.wait_for(3, lambda _: None)  # it has its place meanwhile
    happening = rounds(experiment.runs[0].plan, Flower(nodes, 60.0))
    first = next(happening)
    assert first.missing == (1,)
    assert "this device pauses: on battery; expected what --made-up demands" in str(first.nodes[1])
    assert told[-1] == "node-2: this device pauses: on battery"
    device.pause()
    condition.words = "on battery, and it is dark"
    device.pause()
    assert len([words for words in told if "pauses" in words]) == 1
    condition.words = ""
    assert next(happening).missing == ()
    assert told[-1] == "node-2: takes work again"
    assert condition.begun == 1


@pytest.mark.parametrize("network", [ANN, SNN])
def test_the_number_of_cores_does_not_change_a_bit(
    network: Callable[..., ANN | SNN], tmp_path: Path
) -> None:
    experiment, before, models = (
        toy(network(architecture=FullyConnected((64,)))),
        torch.get_num_threads(),
        [],
    )
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        try:
            grid = dealt_out(experiment, tmp_path / str(threads), nodes=2)
            nodes = Nodes(grid, tmp_path / str(threads), 3, (3, 3), grid.registered)
            nodes.wait_for(3, lambda _: None)
            *_, last = rounds(experiment.runs[0].plan, Flower(nodes, 60.0))
        finally:
            torch.set_num_threads(before)
        models.append(last.state.model)
    assert all(torch.equal(models[0][k], other[k]) for other in models[1:] for k in models[0])
