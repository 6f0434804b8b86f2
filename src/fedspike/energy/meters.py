"""Measured energy: what sensors of this host say while it simulates; nothing here is modelled.

A sensor counts joules of a domain, a part of the machine: "package" are the processors, "dram" their
memory, "psys" is the platform with both in it, "gpu 0" a graphics card. As domains may hold each other,
figures of two of them are never added. A sensor that cannot be read says why; nothing stands in for it.

`Meter.measured` is the protocol, around an iterator of rounds: the idle machine for 5 s, the first round as
a warm-up, then windows of whole rounds, each at least 2 s long, and the idle machine again. Of a window
with E joules in t seconds and r rounds, at an idle power P (the mean of before and after),

    joules of a round   E / r              above idle   (E - P*t) / r

and their means over at least 5 windows have Student's 95 % interval; that of the latter is widened by half
of what P changed from before to after. Rounds have their evaluation and storing in them.

Linux counts energy in /sys/class/powercap (docs.kernel.org/power/powercap); Zeus (ml.energy/zeus, You et al.,
"Zeus: Understanding and Optimizing GPU Energy Consumption of DNN Training", NSDI 2023) reads graphics cards
and the chips of Apple and Jetson.
"""

import statistics
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

from fedspike import extras
from fedspike.energy.estimate import estimate

POWERCAP = Path("/sys/class/powercap")
WINDOW_S, IDLE_S = 2.0, 5.0
WINDOWS = 5  # fewer have no interval
# The smallest counters hold 65 kJ: read this often, they cannot start again twice unseen below 6 kW.
READ_EVERY_S = 10.0
NOTES = {
    "package": "the processors: cores, caches, graphics on the chip",
    "dram": "memory modules; not part of package",
    "psys": "the platform, package and dram included: do not add them",
}
Joules = dict[tuple[str, str], float]
"""(sensor, domain) -> joules."""

T = TypeVar("T")


@runtime_checkable
class Sensor(Protocol):
    """Counts joules from when it was made, by domain."""

    name: str

    def joules(self) -> dict[str, float]:
        """So far; may raise whatever a driver raises."""
        ...


@dataclass(frozen=True)
class Unavailable:
    """A sensor, or one domain of it, that cannot be read, and why."""

    name: str
    reason: str
    domain: str | None = None


def sensors(powercap: Path = POWERCAP) -> list[Sensor | Unavailable]:
    """All that this machine has, and why it does not have the others."""
    return [*_powercap(powercap), _zeus()]


class Counter:
    """An energy counter of Linux, which starts again at 0 when it is full.

    `total_uj` are the microjoules since it was opened, right if it was read at least once in every turn.
    (A turn is one step of the counter longer than the kernel tells: 61 microjoules at most are lost in it.)
    """

    def __init__(self, zone: Path) -> None:
        self._file = zone / "energy_uj"
        self._turn_uj = int((zone / "max_energy_range_uj").read_text())
        self._last_uj = int(self._file.read_text())
        self._total_uj = 0

    def total_uj(self) -> int:
        """Raises OSError or ValueError where the file cannot be read."""
        now_uj = int(self._file.read_text())
        grown_uj = now_uj - self._last_uj
        if grown_uj < 0:
            grown_uj += self._turn_uj
        if grown_uj < 0:
            raise ValueError(f"{self._file} went from {self._last_uj} back to {now_uj}")
        self._last_uj = now_uj
        self._total_uj += grown_uj
        return self._total_uj


class Powercap:
    """One domain of Linux' powercap: the sum over the sockets, which share nothing."""

    name = "powercap"

    def __init__(self, domain: str, zones: Sequence[Path]) -> None:
        self.domain = domain
        self._counters = [Counter(zone) for zone in zones]
        self._one_at_a_time = threading.Lock()

    def joules(self) -> dict[str, float]:
        """Since it was opened."""
        with self._one_at_a_time:
            return {self.domain: sum(counter.total_uj() for counter in self._counters) / 1e6}


class Zeus:
    """The graphics cards and systems on a chip that Zeus can read; processors we read ourselves.

    Its fields of single domains are read: `total_energy` is the sum over graphics cards alone, 0 without.
    """

    name = "zeus"

    def __init__(self, monitor: Any) -> None:
        self._monitor = monitor
        self._totals: dict[str, float] = {}
        self._begin()

    def joules(self) -> dict[str, float]:
        """Since it was opened, but for the moments of reading."""
        read_out = self._monitor.end_window("fedspike", sync_execution=False)
        self._begin()
        for domain, joules in _domains(read_out).items():
            self._totals[domain] = self._totals.get(domain, 0.0) + joules
        return dict(self._totals)

    def _begin(self) -> None:
        # A round ends with its accuracy on the host, so there is nothing to wait for. A chip's windows
        # outlive the monitor, hence the restart.
        self._monitor.begin_window("fedspike", sync_execution=False, restart=True)


def _domains(read_out: Any) -> dict[str, float]:
    """Joules by domain of a Zeus measurement; a field that is a list has its sum in another one."""
    cards = {f"gpu {index}": float(joules) for index, joules in read_out.gpu_energy.items()}
    fields = {} if read_out.soc_energy is None else vars(read_out.soc_energy)
    chip = {name: mj / 1000 for name, mj in fields.items() if isinstance(mj, int | float)}
    return cards | {f"soc {name.removesuffix('_mj')}": joules for name, joules in chip.items()}


def _powercap(folder: Path) -> Iterator[Sensor | Unavailable]:
    """Each domain that does not lie in another one: "core" and "uncore" are parts of their package."""
    zones: dict[str, list[Path]] = {}
    for zone in sorted(folder.glob("intel-rapl:*")):
        try:
            name = (zone / "name").read_text().strip()
        except OSError as error:
            yield Unavailable("powercap", str(error), zone.name)
            continue
        if zone.name.count(":") == 1 or name == "dram":
            zones.setdefault("package" if name.startswith("package") else name, []).append(zone)
    if not folder.exists():
        yield Unavailable("powercap", f"no {folder}, as in most containers and outside Linux")
    elif not zones:
        reason = (
            f"no counter in {folder}, as in most virtual machines; else: modprobe intel_rapl_msr"
        )
        yield Unavailable("powercap", reason)
    for domain, its_zones in zones.items():
        try:
            yield Powercap(domain, its_zones)
        except PermissionError as error:
            fix = f"sudo chmod a+r {folder}/intel-rapl:*/energy_uj (until the next start)"
            yield Unavailable("powercap", f"{error}; {fix}", domain)
        except (OSError, ValueError) as error:
            yield Unavailable("powercap", str(error), domain)


def _zeus() -> Sensor | Unavailable:
    try:
        from zeus.monitor import ZeusMonitor

        monitor = ZeusMonitor(cpu_indices=[])
        if monitor.gpu_indices or monitor.soc_is_present:
            return Zeus(monitor)
    except ModuleNotFoundError as error:
        return Unavailable("zeus", f"{error}; {extras.install('meters')}")
    except Exception as error:  # whatever a driver raises: it is the reason
        return Unavailable("zeus", f"{type(error).__name__}: {error}")
    return Unavailable("zeus", "finds no graphics card, Apple chip or Jetson that it can read")


@dataclass(frozen=True)
class Window:
    """Some rounds, or none while idle, and what each domain counted."""

    rounds: int
    seconds: float
    joules: Joules


class Meter:
    """Measures rounds with all sensors at once; one meter for one run.

    >>> meter = Meter([Unavailable("powercap", "an example")])
    >>> [round for round in meter.measured(["first", "second"])]
    ['first', 'second']
    >>> meter.result()
    [{'sensor': 'powercap', 'unavailable': 'an example'}]
    """

    def __init__(
        self,
        using: Sequence[Sensor | Unavailable] | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self.sensors = sensors() if using is None else using
        self.clock, self.sleep = clock, sleep
        self.idle: list[Window] = []
        self.windows: list[Window] = []
        self._failed: dict[int, str] = {}

    def measured(self, rounds: Iterable[T]) -> Iterator[T]:
        """The same rounds, measured; the idle machine is waited for before and after."""
        if all(isinstance(sensor, Unavailable) for sensor in self.sensors):
            yield from rounds
            return
        with self._kept_up():
            self._rest()
            began, rounds_done = None, 0
            for number, round in enumerate(rounds):
                yield round
                rounds_done += 1
                if number == 0:
                    began, rounds_done = self._read(), 0
                elif began and self.clock() - began[0] >= WINDOW_S:
                    ended = self._read()
                    self.windows.append(_between(began, ended, rounds_done))
                    began, rounds_done = ended, 0
            self._rest()

    def result(self) -> list[dict[str, Any]]:
        """An entry for each sensor and domain: its figures, or as `unavailable` why there are none."""
        entries: list[dict[str, Any]] = []
        for place, sensor in enumerate(self.sensors):
            if isinstance(sensor, Unavailable):
                domain = {"domain": sensor.domain} if sensor.domain else {}
                entries.append({"sensor": sensor.name, **domain, "unavailable": sensor.reason})
            elif place in self._failed:
                entries.append({"sensor": sensor.name, "unavailable": self._failed[place]})
            elif not self.windows:
                reason = (
                    f"the rounds after the first took less than {WINDOW_S:g} s: do more of them"
                )
                entries.append({"sensor": sensor.name, "unavailable": reason})
            else:
                domains = [key for key in self.idle[0].joules if key[0] == sensor.name]
                entries += [self._figures(*key) for key in domains]
        return entries

    def _figures(self, sensor: str, domain: str) -> dict[str, Any]:
        key, windows = (sensor, domain), self.windows
        if not all(window.joules[key] > 0 for window in windows):
            reason = "its counter stood still in a window of work, as in virtual machines"
            return {"sensor": sensor, "domain": domain, "unavailable": reason}
        before, after = (rest.joules[key] / rest.seconds for rest in self.idle)
        idle_watts = (before + after) / 2
        seconds = statistics.fmean(window.seconds / window.rounds for window in windows)
        each = [window.joules[key] / window.rounds for window in windows]
        above = [(w.joules[key] - idle_watts * w.seconds) / w.rounds for w in windows]
        notes = [NOTES.get(domain, ""), f"idle {before:.3g} W before and {after:.3g} W after"]
        if len(windows) < WINDOWS:
            notes.append(f"no interval: {len(windows)} windows, it takes {WINDOWS}")
        return {
            "sensor": sensor,
            "domain": domain,
            "joules": sum(window.joules[key] for window in windows),
            "idle_watts": idle_watts,
            "seconds": sum(window.seconds for window in windows),
            "rounds": sum(window.rounds for window in windows),
            "windows": len(windows),
            "joules_per_round": _interval(each),
            "above_idle_joules_per_round": _interval(above, abs(after - before) / 2 * seconds),
            "note": "; ".join(note for note in notes if note),
        }

    def _rest(self) -> None:
        began = self._read()
        self.sleep(IDLE_S)
        self.idle.append(_between(began, self._read(), 0))

    def _read(self) -> tuple[float, Joules]:
        """The time, and what every sensor has counted."""
        joules: Joules = {}
        for place, sensor in enumerate(self.sensors):
            if not isinstance(sensor, Unavailable) and place not in self._failed:
                for domain, counted in self._joules(place, sensor).items():
                    joules[sensor.name, domain] = counted
        return self.clock(), joules

    def _joules(self, place: int, sensor: Sensor) -> dict[str, float]:
        try:
            return sensor.joules()
        except Exception as error:  # the training goes on without the sensor; the result says why
            self._failed[place] = f"{type(error).__name__}: {error}"
            return {}

    @contextmanager
    def _kept_up(self) -> Iterator[None]:
        """Meanwhile, see every start of the counters of Linux: a round may be longer than a turn."""
        ended = threading.Event()

        def keep_up() -> None:
            while not ended.wait(READ_EVERY_S):
                for place, sensor in enumerate(self.sensors):
                    if isinstance(sensor, Powercap) and place not in self._failed:
                        self._joules(place, sensor)

        thread = threading.Thread(target=keep_up, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def _between(began: tuple[float, Joules], ended: tuple[float, Joules], rounds: int) -> Window:
    """What was counted in between, by what could be read both times."""
    both = began[1].keys() & ended[1].keys()
    joules = {key: ended[1][key] - began[1][key] for key in sorted(both)}
    return Window(rounds, ended[0] - began[0], joules)


def _interval(values: Sequence[float], wider: float = 0.0) -> dict[str, float | None]:
    """Mean and 95 % interval, which fewer than 5 values do not have."""
    per_window = estimate(values)
    if per_window.half_width is None or per_window.count < WINDOWS:
        return {"mean": per_window.mean, "low": None, "high": None}
    half = per_window.half_width + wider
    return {"mean": per_window.mean, "low": per_window.mean - half, "high": per_window.mean + half}
