"""When a device takes work: on mains, while nobody else uses it, cool, and within so many watts and cores.

    [conditions]            # of node.toml; or as options of fedspike fleet node
    only_on_mains = true

What Linux says of a machine lies in files; energy/meters.py reads the energy of its parts. A condition that
cannot be read on a machine is refused when the node starts: a limit that nobody watches is none.
"""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Protocol, runtime_checkable

from msgspec import Meta, Struct

from fedspike.energy import meters
from fedspike.energy.meters import Sensor, Unavailable
from fedspike.errors import InputError
from fedspike.files import MOST_SMALL, content_of

WINDOW_S = 5.0  # over which the work of other programs is counted
BUSY = 0.25  # of the cores: what other programs may use while a machine counts as idle
STILL_S = 0.1  # a counter of energy grows meanwhile
MAINS = ("Mains", "USB", "Wireless")  # kinds of power supply that are no battery


class Conditions(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """`[conditions]` of `node.toml`."""

    only_on_mains: bool = False
    only_when_idle: bool = False
    below_celsius: Annotated[float, Meta(gt=0, le=150)] | None = None
    at_most_cores: Annotated[int, Meta(ge=1, lt=2**16)] | None = None
    at_most_watts: Annotated[float, Meta(gt=0, le=1e6)] | None = None


@dataclass(frozen=True)
class Machine:
    """Where this machine says how it is."""

    power_supplies: Path = Path("/sys/class/power_supply")
    thermal_zones: Path = Path("/sys/class/thermal")
    processor_times: Path = Path("/proc/stat")
    sensors: Callable[[], Sequence[Sensor | Unavailable]] = meters.sensors


@runtime_checkable
class Condition(Protocol):
    """One of them, as `option` names it. Making it raises InputError where this machine cannot tell."""

    option: str

    def obstacle(self) -> str:
        """What is in the way now; "" if nothing is. Raises OSError or ValueError as files do."""
        ...

    def begin(self) -> None:
        """Work begins now."""
        ...


class OnMains:
    """Not from a battery. Where a machine does not name its mains, its batteries say what they do."""

    option = "--only-on-mains"

    def __init__(self, machine: Machine) -> None:
        self._folder = machine.power_supplies
        if not self._supplies():
            raise _unreadable(
                self.option, f"no battery and no power supply in {self._folder}", "as on most desks"
            )

    def obstacle(self) -> str:
        """Whether it runs on its battery."""
        supplies = self._supplies()
        mains = [each for each in supplies if _text(each / "type") in MAINS]
        if mains:
            on_mains = any(_text(each / "online") != "0" for each in mains)
        else:
            on_mains = all(_text(each / "status") != "Discharging" for each in supplies)
        return "" if on_mains else "on battery"

    def begin(self) -> None:
        """Nothing changes."""

    def _supplies(self) -> list[Path]:
        """Those of the machine itself, and not of a mouse."""
        return [
            each for each in sorted(self._folder.glob("*")) if _text(each / "scope") != "Device"
        ]


class Idle:
    """While other programs keep less than a quarter of the cores busy; the node's own work is taken out.

    The load average will not do: the node's own training stands in it for minutes.
    """

    option = "--only-when-idle"

    def __init__(self, machine: Machine, clock: Callable[[], float] = time.monotonic) -> None:
        self._file, self._clock = machine.processor_times, clock
        self._busy_cores = 0.0
        try:
            self._last = self._read()
        except (OSError, ValueError) as error:
            raise _unreadable(self.option, f"{self._file}: {error}", "as outside Linux") from error

    def obstacle(self) -> str:
        """How busy other programs were in the last seconds."""
        now = self._read()
        if (seconds := now[0] - self._last[0]) >= WINDOW_S:
            others = (now[1] - self._last[1]) - (now[2] - self._last[2])
            self._busy_cores, self._last = max(others, 0.0) / seconds, now
        cores = os.cpu_count() or 1
        if self._busy_cores < BUSY * cores:
            return ""
        return f"other programs keep {self._busy_cores:.1f} of {cores} cores busy"

    def begin(self) -> None:
        """Nothing changes."""

    def _read(self) -> tuple[float, float, float]:
        """The time, and the seconds of all cores at work: of all programs, and of this one."""
        first = content_of(self._file, MOST_SMALL).splitlines()[0].split()
        user, nice, system, _idle, _waiting, interrupts, soft = map(int, first[1:8])
        ticks = user + nice + system + interrupts + soft
        return self._clock(), ticks / os.sysconf("SC_CLK_TCK"), time.process_time()


class Cool:
    """Below a temperature, in degrees Celsius, of the hottest part that has a thermometer."""

    option = "--below-celsius"

    def __init__(self, limit: float, machine: Machine) -> None:
        self._limit, self._folder = limit, machine.thermal_zones
        if not self._celsius():
            raise _unreadable(
                self.option, f"no thermometer in {self._folder}", "as in most virtual machines"
            )

    def obstacle(self) -> str:
        """How hot it is."""
        degrees = self._celsius()
        if not degrees:
            raise ValueError("its thermometers are gone")
        return "" if max(degrees) < self._limit else f"{max(degrees):.0f} degrees Celsius hot"

    def begin(self) -> None:
        """Nothing changes."""

    def _celsius(self) -> list[float]:
        """Of all that can be read: some are asleep with their part."""
        thousandths = [_text(each) for each in self._folder.glob("thermal_zone*/temp")]
        return [int(text) / 1000 for text in thousandths if text.lstrip("-").isdigit()]


class Frugal:
    """At most so many watts in the mean from one task's beginning to the next one's, rest included.

    All of the machine counts, as far as a sensor sees it; of several that may hold each other, the highest.
    """

    option = "--at-most-watts"

    def __init__(
        self,
        limit: float,
        machine: Machine,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        sensors = machine.sensors()
        self._limit, self._clock = limit, clock
        self._sensors = [sensor for sensor in sensors if isinstance(sensor, Sensor)]
        reasons = [f"{s.name}: {s.reason}" for s in sensors if isinstance(s, Unavailable)]
        if not self._sensors:
            raise _unreadable(self.option, "no sensor of energy", "; ".join(reasons))
        self.begin()
        sleep(STILL_S)
        if not self._watts():
            raise _unreadable(self.option, "a sensor of energy that stands still", "as in a VM")

    def obstacle(self) -> str:
        """What it drew in the mean since its last task began."""
        watts = self._watts()
        return "" if watts <= self._limit else f"drew {watts:.3g} W since its last task began"

    def begin(self) -> None:
        """Count from now on."""
        self._since = self._read()

    def _watts(self) -> float:
        (now, joules), (then, before) = self._read(), self._since
        return max((joules[key] - before[key]) / max(now - then, 1e-3) for key in joules)

    def _read(self) -> tuple[float, dict[tuple[str, str], float]]:
        joules = {(s.name, d): j for s in self._sensors for d, j in s.joules().items()}
        return self._clock(), joules


@dataclass(frozen=True)
class Watch:
    """All conditions of a node."""

    conditions: Sequence[Condition] = field(default=())

    def obstacle(self) -> InputError | None:
        """The first condition that does not hold."""
        for condition in self.conditions:
            try:
                words = condition.obstacle()
            except (
                Exception
            ) as error:  # whatever a driver raises: what cannot be read does not hold
                words = f"its state cannot be read any more: {error}"
            if words:
                return InputError(
                    f"this device pauses: {words}",
                    expected=f"what {condition.option} demands",
                    fix="none is needed: it takes work again by itself when that holds",
                )
        return None

    def begin(self) -> None:
        """Work begins now."""
        for condition in self.conditions:
            condition.begin()


NONE = Watch()


def watch(wanted: Conditions, machine: Machine | None = None) -> Watch:
    """Those that a node wants. Raises InputError where this machine cannot tell whether one holds."""
    machine = machine or Machine()
    watched: list[Condition] = []
    if wanted.only_on_mains:
        watched.append(OnMains(machine))
    if wanted.only_when_idle:
        watched.append(Idle(machine))
    if wanted.below_celsius is not None:
        watched.append(Cool(wanted.below_celsius, machine))
    if wanted.at_most_watts is not None:
        watched.append(Frugal(wanted.at_most_watts, machine))
    return Watch(tuple(watched))


def _text(file: Path) -> str:
    """What a small file of the system says; "" where it says nothing."""
    try:
        return content_of(file, MOST_SMALL).decode(errors="replace").strip()
    except OSError:
        return ""


def _unreadable(option: str, what: str, where: str) -> InputError:
    return InputError(
        f"{option}: {what} ({where})",
        expected="a machine that can tell whether the condition holds",
        fix=f"leave out {option}; fedspike doctor shows the sensors of energy",
    )
