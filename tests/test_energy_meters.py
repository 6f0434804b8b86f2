"""Sensors in a made-up /sys and a made-up Zeus, and the protocol on a host whose clock and power we set."""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedspike.energy import meters
from fedspike.energy.meters import Counter, Meter, Powercap, Unavailable, sensors
from fedspike.records import environment

TURN_UJ = 262143328850  # of the processors whose powercap files these imitate


class Linux:
    """/sys/class/powercap: links to zones that lie in each other in /sys/devices."""

    def __init__(self, folder: Path) -> None:
        self.powercap = folder / "class" / "powercap"
        self.powercap.mkdir(parents=True)
        self.devices = folder / "devices" / "virtual" / "powercap"

    def zone(self, path: str, name: str, uj: int, turn_uj: int = TURN_UJ) -> Path:
        home = self.devices / path
        home.mkdir(parents=True)
        (home / "name").write_text(f"{name}\n")
        (home / "enabled").write_text("0\n")
        (home / "max_energy_range_uj").write_text(f"{turn_uj}\n")
        (self.powercap / home.name).symlink_to(home)
        count(home, uj)
        return home


def count(zone: Path, uj: int) -> None:
    """In one step, as the kernel does: nobody sees half a number."""
    (zone / "new").write_text(f"{uj}\n")
    (zone / "new").replace(zone / "energy_uj")


@pytest.fixture
def linux(tmp_path: Path) -> Linux:
    return Linux(tmp_path)


def here(linux: Linux) -> list[Any]:
    """Without Zeus, which has tests of its own."""
    return [one for one in sensors(linux.powercap) if one.name != "zeus"]


def joules(linux: Linux) -> Callable[[], dict[str, float]]:
    """All domains' joules from here on."""
    found = here(linux)

    def now() -> dict[str, float]:
        return {domain: j for sensor in found for domain, j in sensor.joules().items()}

    return now


def test_a_domain_in_another_is_not_counted_again(linux: Linux) -> None:
    """A laptop with two sockets, say: packages add up, cores and graphics are in them, psys around all."""
    zones = {
        "intel-rapl/intel-rapl:0": ("package-0", 1_000_000),
        "intel-rapl/intel-rapl:0/intel-rapl:0:0": ("core", 100_000),
        "intel-rapl/intel-rapl:0/intel-rapl:0:1": ("uncore", 10_000),
        "intel-rapl/intel-rapl:0/intel-rapl:0:2": ("dram", 4_000_000),
        "intel-rapl/intel-rapl:1": ("package-1", 2_000_000),
        "intel-rapl/intel-rapl:1/intel-rapl:1:0": ("dram", 5_000_000),
        "intel-rapl/intel-rapl:2": ("psys", 20_000_000),
        "intel-rapl-mmio/intel-rapl-mmio:0": ("package-0", 1_000_000),  # the first one again
    }
    homes = {path: linux.zone(path, name, uj=7) for path, (name, _) in zones.items()}
    now = joules(linux)
    assert now() == {"package": 0, "dram": 0, "psys": 0}
    for path, (_, uj) in zones.items():
        count(homes[path], 7 + uj)
    assert now() == {"package": 3.0, "dram": 9.0, "psys": 20.0}
    assert now() == {
        "package": 3.0,
        "dram": 9.0,
        "psys": 20.0,
    }  # from the start, not from last time


def test_a_processor_of_several_dies(linux: Linux) -> None:
    dies = [linux.zone(f"intel-rapl/intel-rapl:{die}", f"package-0-die-{die}", 0) for die in (0, 1)]
    now = joules(linux)
    count(dies[0], 3_000_000)
    count(dies[1], 4_000_000)
    assert now() == {"package": 7.0}


@given(st.integers(0, 99), st.lists(st.integers(0, 99)))
def test_consecutive_readings_add_up_whether_the_counter_starts_again_or_not(
    tmp_path_factory: pytest.TempPathFactory, start_uj: int, steps_uj: list[int]
) -> None:
    linux = Linux(tmp_path_factory.mktemp("sys"))
    zone = linux.zone("intel-rapl/intel-rapl:0", "package-0", start_uj, turn_uj=100)
    counter, truth_uj, before_uj = Counter(zone), 0, 0
    for step_uj in steps_uj:
        truth_uj += step_uj
        count(zone, (start_uj + truth_uj) % 100)
        now_uj = counter.total_uj()
        assert now_uj - before_uj == step_uj
        before_uj = now_uj
    assert counter.total_uj() == truth_uj


def test_each_socket_starts_again_by_itself(linux: Linux) -> None:
    one = linux.zone("intel-rapl/intel-rapl:0", "package-0", TURN_UJ - 1_000_000)
    other = linux.zone("intel-rapl/intel-rapl:1", "package-1", 0, turn_uj=65_532_610_987)
    now = joules(linux)
    count(one, 500_000)
    count(other, 2_000_000)
    assert now() == {"package": 3.5}


def test_a_counter_that_goes_back_further_than_a_turn_is_not_believed(linux: Linux) -> None:
    zone = linux.zone("intel-rapl/intel-rapl:0", "package-0", 5_000, turn_uj=100)
    counter = Counter(zone)
    count(zone, 3)
    with pytest.raises(ValueError, match="from 5000 back to 3"):
        counter.total_uj()


def test_what_may_not_be_read_is_said_with_the_fix(
    linux: Linux, monkeypatch: pytest.MonkeyPatch
) -> None:
    linux.zone("intel-rapl/intel-rapl:0", "package-0", 1)
    linux.zone("intel-rapl/intel-rapl:1", "package-1", 1)
    linux.zone("intel-rapl/intel-rapl:0/intel-rapl:0:0", "dram", 1)
    closed = linux.powercap / "intel-rapl:1" / "energy_uj"
    read_text = Path.read_text

    def refuse(path: Path, *arguments: Any, **options: Any) -> str:
        if path == closed:  # the tests may run as root, who may read everything
            raise PermissionError(13, "Permission denied", str(path))
        return read_text(path, *arguments, **options)

    monkeypatch.setattr(Path, "read_text", refuse)
    package, dram = here(linux)
    assert isinstance(dram, Powercap)
    assert isinstance(package, Unavailable)  # not the half that can be read
    assert package.domain == "package"
    assert f"Permission denied: '{closed}'" in package.reason
    assert f"sudo chmod a+r {linux.powercap}/intel-rapl:*/energy_uj" in package.reason


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_the_kernel_says_the_same(linux: Linux) -> None:
    (linux.zone("intel-rapl/intel-rapl:0", "package-0", 1) / "energy_uj").chmod(0)
    (package,) = here(linux)
    assert "Permission denied" in package.reason


def test_no_counters_and_broken_ones_are_said(linux: Linux, tmp_path: Path) -> None:
    (nothing,) = [one for one in sensors(tmp_path / "nowhere") if one.name == "powercap"]
    assert isinstance(nothing, Unavailable)
    assert nothing.reason.startswith(f"no {tmp_path / 'nowhere'}")
    (empty,) = here(linux)
    assert "modprobe intel_rapl_msr" in empty.reason
    count(linux.zone("intel-rapl/intel-rapl:0", "package-0", 1), 1)
    (linux.powercap / "intel-rapl:0" / "energy_uj").write_text("none\n")
    (linux.powercap / "intel-rapl:1").mkdir()
    unnamed, broken = here(linux)
    assert "none" in broken.reason
    assert unnamed.domain == "intel-rapl:1"
    assert "No such file" in unnamed.reason


def test_the_doctor_names_domains_and_reasons(
    linux: Linux, monkeypatch: pytest.MonkeyPatch
) -> None:
    linux.zone("intel-rapl/intel-rapl:0", "package-0", 1)
    linux.zone("intel-rapl/intel-rapl:1", "psys", 1)
    found = [*here(linux), Unavailable("powercap", "broken", "dram"), Unavailable("zeus", "none")]
    monkeypatch.setattr(meters, "sensors", lambda: found)
    assert environment.energy_sensors() == {
        "powercap": "package, psys, dram unavailable: broken",
        "zeus": "unavailable: none",
    }


class Host:
    """A machine whose time passes only when it rests or works."""

    def __init__(self) -> None:
        self.now = self.spent = 0.0
        self.idle_watts = [10.0, 10.0]  # in the rests before and after
        self.name = "made up"

    def joules(self) -> dict[str, float]:
        return {"package": self.spent, "psys": 2 * self.spent}

    def spend(self, seconds: float, watts: float) -> None:
        self.now += seconds
        self.spent += seconds * watts

    def meter(self, *others: Any) -> Meter:
        def rest(seconds: float) -> None:
            assert seconds == 5
            self.spend(seconds, self.idle_watts.pop(0))

        return Meter([self, *others], clock=lambda: self.now, sleep=rest)

    def train(self, meter: Meter, seconds: float, watts: list[float]) -> list[int]:
        """Rounds at these powers, and 0.125 s at 20 W to store each; gives the rounds that came through."""

        def rounds() -> Iterator[int]:
            for number, power in enumerate(watts):
                self.spend(seconds, power)
                yield number

        came = []
        for number in meter.measured(rounds()):
            self.spend(0.125, 20.0)
            came.append(number)
        return came


def of(meter: Meter, domain: str = "package") -> dict[str, Any]:
    (entry,) = [entry for entry in meter.result() if entry.get("domain") == domain]
    return entry


def test_short_rounds_are_measured_in_windows_of_two_seconds() -> None:
    """0.5 s at 30 W and 0.125 s at 20 W are 17.5 J a round, 11.25 J above 10 W; 4 rounds fill a window."""
    host = Host()
    meter = host.meter()
    watts = [
        500.0,
        *[30.0] * 22,
    ]  # a warm-up, five windows of four rounds, two rounds that fill none
    assert host.train(meter, 0.5, watts) == list(range(23))
    assert [window.rounds for window in meter.windows] == [4] * 5
    assert of(meter) == {
        "sensor": "made up",
        "domain": "package",
        "joules": pytest.approx(350.0),
        "idle_watts": 10.0,
        "seconds": pytest.approx(12.5),
        "rounds": 20,
        "windows": 5,
        "joules_per_round": pytest.approx({"mean": 17.5, "low": 17.5, "high": 17.5}),
        "above_idle_joules_per_round": pytest.approx({"mean": 11.25, "low": 11.25, "high": 11.25}),
        "note": f"{meters.NOTES['package']}; idle 10 W before and 10 W after",
    }
    assert of(meter, "psys")["joules"] == pytest.approx(700.0)


def test_a_long_round_is_a_window_and_the_interval_is_students() -> None:
    """Rounds of 10, 11, 12, 13 and 14 J: mean 12 and t(4) * s / sqrt(5) = 2.776 * 1.5811 / 2.2361."""
    host = Host()
    host.idle_watts = [1.0, 2.0]
    meter = host.meter()
    host.train(meter, 4.0, [7.0, *((joules - 2.5) / 4 for joules in (10, 11, 12, 13, 14))])
    figures, half = of(meter), 2.776 * 2.5**0.5 / 5**0.5
    per_round, above = figures["joules_per_round"], figures["above_idle_joules_per_round"]
    assert figures["windows"] == figures["rounds"] == 5
    assert figures["idle_watts"] == 1.5
    assert per_round == pytest.approx({"mean": 12, "low": 12 - half, "high": 12 + half})
    taken, unsure = 1.5 * 4.125, 0.5 * 4.125  # of the idle power, 1 W before and 2 W after
    assert above == pytest.approx(
        {"mean": 12 - taken, "low": 12 - taken - half - unsure, "high": 12 - taken + half + unsure}
    )


def test_four_windows_have_no_interval() -> None:
    host = Host()
    meter = host.meter()
    host.train(meter, 2.0, [30.0] * 5)
    figures = of(meter)
    assert figures["joules_per_round"] == pytest.approx({"mean": 62.5, "low": None, "high": None})
    assert "no interval: 4 windows, it takes 5" in figures["note"]


def test_a_round_that_takes_less_than_the_idle_machine_says_so() -> None:
    """Below zero is a sign that the measurement is not good enough, and is shown."""
    host = Host()
    meter = host.meter()
    host.train(meter, 2.0, [5.0] * 6)
    assert of(meter)["above_idle_joules_per_round"]["high"] < 0


@pytest.mark.parametrize("watts", [[30.0], [30.0] * 3])
def test_too_little_to_measure_is_no_figure(watts: list[float]) -> None:
    host = Host()
    meter = host.meter()
    host.train(meter, 0.5, watts)
    (entry,) = meter.result()
    assert entry == {
        "sensor": "made up",
        "unavailable": "the rounds after the first took less than 2 s: do more of them",
    }


def test_a_counter_that_stands_still_measures_nothing() -> None:
    host = Host()
    stuck = SimpleNamespace(name="stuck", joules=lambda: {"dram": 5.0})
    meter = host.meter(stuck)
    host.train(meter, 2.0, [30.0] * 6)
    assert "stood still" in of(meter, "dram")["unavailable"]
    assert of(meter)["windows"] == 5


def test_a_sensor_that_fails_ends_neither_the_training_nor_the_others() -> None:
    host = Host()
    left = iter(range(4))

    def fail() -> dict[str, float]:
        try:
            return {"gpu 0": float(next(left))}
        except StopIteration:
            raise OSError("fell off the bus") from None

    meter = host.meter(SimpleNamespace(name="frail", joules=fail), Unavailable("none", "not here"))
    assert len(host.train(meter, 2.0, [30.0] * 6)) == 6
    figures, _, frail, none = meter.result()
    assert figures["windows"] == 5
    assert frail == {"sensor": "frail", "unavailable": "OSError: fell off the bus"}
    assert none == {"sensor": "none", "unavailable": "not here"}


def test_a_round_longer_than_two_turns_is_counted_whole(
    linux: Linux, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meters, "READ_EVERY_S", 0.001)
    zone = linux.zone("intel-rapl/intel-rapl:0", "package-0", 0, turn_uj=100)
    (package,) = here(linux)
    read, read_by_thread = package.joules, threading.Semaphore(0)

    def joules() -> dict[str, float]:
        answer: dict[str, float] = read()
        if threading.current_thread() is not threading.main_thread():
            read_by_thread.release()
        return answer

    monkeypatch.setattr(package, "joules", joules)

    def rounds() -> Iterator[None]:
        for uj in (60, 20, 80, 40):  # each 60 more than the one before, in turns of 100
            count(zone, uj)
            for _ in range(50):  # some readings that began before the count, and one after it
                assert read_by_thread.acquire(timeout=20)
            while read_by_thread.acquire(blocking=False):
                pass
            assert read_by_thread.acquire(timeout=20)
            assert read_by_thread.acquire(timeout=20)
        yield

    threads = threading.active_count()
    meter = Meter([package], sleep=lambda _: None)
    list(meter.measured(rounds()))
    assert package.joules() == {"package": 240e-6}
    assert threading.active_count() == threads


def test_nobody_waits_for_sensors_that_are_not_there() -> None:
    meter = Meter([Unavailable("zeus", "none")], sleep=lambda _: pytest.fail("waited"))
    assert list(meter.measured(iter("abc"))) == ["a", "b", "c"]


def test_rounds_that_end_early_leave_no_thread() -> None:
    threads = threading.active_count()
    rounds = Meter([Host()], sleep=lambda _: None).measured(iter(range(9)))
    next(rounds)
    assert threading.active_count() == threads + 1
    rounds.close()  # type: ignore[attr-defined]
    assert threading.active_count() == threads


class Monitor:
    """What zeus.monitor.ZeusMonitor of 0.16 has; its windows are of 3 J a card and 500 mJ a chip."""

    cards: tuple[int, ...] = (0, 1)
    chip: dict[str, Any] | None = None

    def __init__(self, cpu_indices: list[int] | None = None) -> None:
        assert cpu_indices == []  # it would start a process for each processor
        self.gpu_indices, self.soc_is_present = list(self.cards), self.chip is not None
        self.open = False

    def begin_window(self, key: str, sync_execution: bool = True, restart: bool = False) -> None:
        assert (key, sync_execution, restart) == ("fedspike", False, True)
        self.open = True

    def end_window(self, key: str, sync_execution: bool = True) -> SimpleNamespace:
        assert self.open
        assert (key, sync_execution) == ("fedspike", False)
        self.open = False
        return SimpleNamespace(
            gpu_energy=dict.fromkeys(self.cards, 3.0),
            cpu_energy=None,
            dram_energy=None,
            soc_energy=None if self.chip is None else SimpleNamespace(**self.chip),
            total_energy=0,
        )


def with_zeus(monkeypatch: pytest.MonkeyPatch, monitor: Any) -> Any:
    module = ModuleType("zeus.monitor")
    vars(module)["ZeusMonitor"] = monitor
    monkeypatch.setitem(sys.modules, "zeus", ModuleType("zeus"))
    monkeypatch.setitem(sys.modules, "zeus.monitor", module)
    return sensors(Path("nowhere"))[-1]


def test_zeus_gives_each_card_and_part_of_a_chip(monkeypatch: pytest.MonkeyPatch) -> None:
    sensor = with_zeus(monkeypatch, Monitor)
    assert [sensor.joules(), sensor.joules()] == [
        {"gpu 0": 3.0, "gpu 1": 3.0},
        {"gpu 0": 6.0, "gpu 1": 6.0},
    ]

    class Apple(Monitor):
        cards = ()
        chip: dict[str, Any] | None = {  # noqa: RUF012
            "cpu_total_mj": 500,
            "efficiency_cores_mj": [100, 100],
            "dram_mj": None,
            "gpu_mj": 250.5,
        }

    assert with_zeus(monkeypatch, Apple).joules() == {"soc cpu_total": 0.5, "soc gpu": 0.2505}


def test_zeus_without_anything_to_read_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    class Nothing(Monitor):
        cards = ()

    class Broken(Monitor):
        def begin_window(self, *_: Any, **__: Any) -> None:
            raise RuntimeError("NVML: driver not loaded")

    assert with_zeus(monkeypatch, Nothing).reason.startswith("finds no graphics card")
    assert with_zeus(monkeypatch, Broken).reason == "RuntimeError: NVML: driver not loaded"
    monkeypatch.setitem(sys.modules, "zeus.monitor", None)
    missing = sensors(Path("nowhere"))[-1]
    assert isinstance(missing, Unavailable)
    assert "pip install 'fedspike[meters]'" in missing.reason


def test_zeus_is_as_the_tests_make_it_up() -> None:
    """Where the extra `meters` is installed."""
    import inspect
    from dataclasses import fields

    monitor = pytest.importorskip("zeus.monitor")
    ours, theirs = (
        inspect.signature(one.begin_window).parameters for one in (Monitor, monitor.ZeusMonitor)
    )
    assert ours.keys() <= theirs.keys()
    named = {field.name for field in fields(monitor.Measurement)}
    assert {"gpu_energy", "cpu_energy", "dram_energy", "soc_energy"} <= named
    assert {"gpu_indices", "soc_is_present"} <= vars(monitor.ZeusMonitor(cpu_indices=[])).keys()
