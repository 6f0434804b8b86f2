"""What this machine offers, in plain answers."""

import os
import shutil
from pathlib import Path
from typing import Any

import msgspec

from fedspike import engine, extras
from fedspike.data import fashion_mnist
from fedspike.records.environment import energy_sensors, environment

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
EXTRAS = {"report": "altair", "reference": "snntorch"}  # extra -> a module that it brings


def examine() -> dict[str, Any]:
    """Everything worth asking when something does not work; nothing is fetched or changed."""
    import torch

    gpus = ", ".join(engine.gpus())
    browsers = [path for name in BROWSERS if (path := shutil.which(name))]
    return {
        **msgspec.structs.asdict(environment()),
        "cpu_features": torch.backends.cpu.get_cpu_capability(),
        "gpu": f"{gpus} (fedspike run --device cuda)" if gpus else "none (none is needed)",
        **{f"energy_{name}": state for name, state in energy_sensors().items()},
        "fashion_mnist": _fashion_mnist(),
        "cache_folder": _cache_folder(),
        "browser": browsers[0] if browsers else "none (only the report's own tests need chromium)",
        **{f"extra_{name}": _extra(name, module) for name, module in EXTRAS.items()},
    }


def _fashion_mnist() -> str:
    places = [
        fashion_mnist.cache_folder() / fashion_mnist.NAME,
        *fashion_mnist.system_data_folders(),
    ]
    for folder in places:
        names = [[folder / f"{name}.gz", folder / name] for name in fashion_mnist.SHA256]
        if all(any(path.exists() for path in either) for either in names):
            return f"in {folder}"
    return "not on this machine; get it with: fedspike data fetch"


def _cache_folder() -> str:
    folder = fashion_mnist.cache_folder()
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    writable = Path(nearest).is_dir() and os.access(nearest, os.W_OK)
    return f"{folder} ({'can' if writable else 'can NOT'} be written to)"


def _extra(name: str, module: str) -> str:
    if extras.is_here(module):
        return f"{module} is here"
    return f"{module} is missing; get it with: {extras.install(name)}"
