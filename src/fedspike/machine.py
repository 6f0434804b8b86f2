"""What this machine has, and what must be set on some machines."""

import os
import resource
from contextlib import suppress
from pathlib import Path

PROCESSORS = Path("/proc/cpuinfo")
CGROUP = Path("/sys/fs/cgroup")
SPINS = "1000"  # some 0.01 to 0.05 ms, by processor
LIMITS = ("memory.max", "memory/memory.limit_in_bytes")  # of a container, versions 2 and 1


def bytes_here() -> int:
    """Memory that this process can have: the machine's, its container's, or what its shell allows."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for name in LIMITS:
        text = (CGROUP / name).read_text() if (CGROUP / name).is_file() else ""
        limits += [int(text)] if text.strip().isdigit() else []
    allowed, _ = resource.getrlimit(resource.RLIMIT_AS)
    return min([*limits, *([] if allowed == resource.RLIM_INFINITY else [allowed])])


def processor(field: str) -> str:
    """A field of what the first processor tells: `vendor_id`, `model name`; "" where nothing does."""
    with suppress(OSError), PROCESSORS.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            name, _, value = line.partition(":")
            if name.strip() == field:
                return value.strip()
    return ""


def brief_waits() -> None:
    """Let threads that wait for each other sleep soon: of torch and of the kernels, which share one OpenMP.

    By itself it has them spin for milliseconds at each of the thousands of meetings of a round, and where
    other programs use the cores too, whoever spins has the core of whoever is waited for. It asks once, when
    torch is loaded; whoever says how threads wait, by `OMP_WAIT_POLICY` or `GOMP_SPINCOUNT`, has it so.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)


def steady_products() -> None:
    """Make a product's bits independent of where in memory its matrices lie, and so of who stands beside.

    On processors that are not Intel's, MKL sums in an order that hangs on it, but for its reproducible mode
    (`MKL_CBWR`), which costs nothing there. MKL asks for the mode once, at its first product in a process. On
    Intel's the order was seen not to hang on it, and nothing is set.
    """
    if processor("vendor_id") != "GenuineIntel":
        os.environ.setdefault("MKL_CBWR", "AUTO")
