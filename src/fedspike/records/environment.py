"""What a result may depend on besides its configuration: versions and hardware, never names."""

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

from fedspike import engine as engines
from fedspike.energy import meters
from fedspike.files import content_of
from fedspike.machine import processor
from fedspike.records.schema import Environment

VERSIONS = ("fedspike", "torch", "numpy")


def environment(device: str = "cpu") -> Environment:
    """Versions, processor and threads of this process."""
    import torch

    return Environment(
        python=platform.python_version(),
        **{name: metadata.version(name) for name in VERSIONS},
        engine=engines.engine(device),
        git_commit=git_commit(),
        platform=f"{platform.system()} {platform.machine()}",
        cpu=cpu_model(),
        cores=os.cpu_count(),
        threads=torch.get_num_threads(),
    )


def versions(device: str = "cpu") -> dict[str, str]:
    """The versions, and the engine, that must not change in the middle of a run, or its bits would."""
    engine = engines.engine(device) if device != "cpu" else "plain torch"
    if device == "cpu" and engines.ACTIVE:
        engine = "compiled kernels"  # of whichever instruction set: their bits are the same
    return {name: metadata.version(name) for name in VERSIONS} | {"engine": engine}


def energy_sensors() -> dict[str, str]:
    """What can measure this machine's energy, with its domains, and why the others cannot."""
    sensors: dict[str, list[str]] = {}
    for sensor in meters.sensors():
        if isinstance(sensor, meters.Unavailable):
            where = f"{sensor.domain} " if sensor.domain else ""
            sensors.setdefault(sensor.name, []).append(f"{where}unavailable: {sensor.reason}")
        else:
            sensors.setdefault(sensor.name, []).extend(sensor.joules())
    return {name: ", ".join(domains) for name, domains in sensors.items()}


def git_commit() -> str | None:
    """The commit of the source tree that fedspike runs from, or that its package was made of, if any."""
    source, of_package = Path(__file__).resolve().parents[3], Path(__file__).with_name("commit.txt")
    if not (source / ".git").exists():
        return content_of(of_package).decode() or None if of_package.is_file() else None
    commands = (("rev-parse", "HEAD"), ("status", "--porcelain", "--untracked-files=no"))
    answers = []
    for command in commands:
        try:
            answer = subprocess.run(
                ["git", "-C", str(source), *command], capture_output=True, text=True, timeout=10
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        if answer.returncode:
            return None
        answers.append(answer.stdout.strip())
    return answers[0] + (" with changes" if answers[1] else "")


def cpu_model() -> str:
    """The processor's name as the system tells it."""
    return processor("model name") or platform.processor() or platform.machine()
