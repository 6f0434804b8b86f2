"""What this machine has."""

import os
import resource
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
LIMITS = ("memory.max", "memory/memory.limit_in_bytes")  # of a container, versions 2 and 1


def bytes_here() -> int:
    """Memory that this process can have: the machine's, its container's, or what its shell allows."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for name in LIMITS:
        text = (CGROUP / name).read_text() if (CGROUP / name).is_file() else ""
        limits += [int(text)] if text.strip().isdigit() else []
    allowed, _ = resource.getrlimit(resource.RLIMIT_AS)
    return min([*limits, *([] if allowed == resource.RLIM_INFINITY else [allowed])])
