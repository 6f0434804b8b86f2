"""Somebody else's run directory does not lead out of itself: nothing is written or removed behind a link.

The paths are those that a real run and its report write, rename or remove, so a new one is tested, too.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fedspike as fs
from fedspike.errors import InputError
from fedspike.federation.places.flower import memory
from fedspike.files import appending, claimed
from fedspike.report import write
from test_experiment_storage import files, state

IMAGES = np.linspace(0, 1, 8 * 4, dtype=np.float32).reshape(8, 2, 2)
LABELS = np.arange(8) % 2
PLAN = fs.Plan(
    name="ann",
    network=fs.ANN(),
    data=fs.Dataset("tiny", IMAGES, LABELS, IMAGES, LABELS, 2, "here", {}),
    partition=fs.IID(),
    fleet=fs.Fleet(clients=2),
    rounds=3,  # as many as it takes until a checkpoint is removed
)


@contextmanager
def touched(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The paths below a folder that the system is asked to write, make, rename or remove."""
    paths: dict[str, None] = {}

    def heard(call: Callable[..., Any], *at: str) -> Callable[..., Any]:
        def hears(*arguments: Any, **options: Any) -> Any:
            for name, key in zip(arguments, at, strict=False):
                home = Path(f"/proc/self/fd/{options[key]}").readlink() if key in options else ""
                if (path := Path(home, name)).is_relative_to(folder) and path != folder:
                    paths[str(path.relative_to(folder))] = None
            return call(*arguments, **options)

        return hears

    with monkeypatch.context() as patch:
        for name in ("open", "mkdir", "unlink", "rmdir"):
            patch.setattr(os, name, heard(getattr(os, name), "dir_fd"))
        patch.setattr(os, "rename", heard(os.rename, "src_dir_fd", "dst_dir_fd"))
        patch.setattr(shutil, "rmtree", heard(shutil.rmtree, "dir_fd"))
        found: list[str] = []
        yield found
    found += paths


def plant(links: list[str], target: Path, folder: Path) -> None:
    """Links to a target, in the place of whatever is there."""
    for link in links:
        path = folder / link
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)


def outside(folder: Path) -> Path:
    """Something of the user's, with a file under each name that a checkpoint could want."""
    victim = folder / "outside"
    for name in ("precious", "rounds.jsonl", "round-000001/state.safetensors", "ann-iid-seed0/x"):
        (victim / name).parent.mkdir(parents=True, exist_ok=True)
        (victim / name).write_text("precious")
    return victim


@pytest.mark.thorough
def test_no_link_in_a_run_directory_leads_out_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = (tmp_path / "honest").resolve()
    with touched(honest, monkeypatch) as of_run:
        fs.run(PLAN, honest)
    with touched(honest, monkeypatch) as of_report:
        write(honest)
    names = {path.rpartition("/")[2] for path in (*of_run, *of_report)}
    assert names >= {"checkpoint", "figures", "rounds.jsonl", ".config.toml.partial"}
    assert names >= {".report.html.partial", ".round-000003.partial", "round-000001"}
    victim = outside(tmp_path)
    before = files(victim)
    monkeypatch.setattr(os, "fsync", lambda _: None)  # no disk is lost here
    for link in of_run:
        folder = tmp_path / "runs"
        name = link.rpartition("/")[2]
        is_folder = "." not in name or name.startswith(".round-")
        plant([link], victim if is_folder else victim / "precious", folder)
        with suppress(InputError):
            fs.run(PLAN, folder)
        assert files(victim) == before, link
        shutil.rmtree(folder)
    folders = ["figures", "tables"]
    for links, target in (
        (folders, victim),
        ([path for path in of_report if path not in folders], victim / "precious"),
    ):
        folder = shutil.copytree(honest, tmp_path / "reported")
        plant(links, target, folder)
        with suppress(InputError):
            write(folder)
        assert files(victim) == before, links
        shutil.rmtree(folder)


def test_the_folder_that_was_named_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "runs").symlink_to(tmp_path / "elsewhere")
    fs.run(PLAN, tmp_path / "runs")
    write(tmp_path / "runs")
    assert (tmp_path / "elsewhere" / "report.html").is_file()


def test_neither_does_a_node_nor_a_log(tmp_path: Path) -> None:
    victim = outside(tmp_path)
    before = files(victim)
    run = tmp_path / "node" / "memory" / "run"
    run.parent.mkdir(parents=True)
    run.symlink_to(victim)
    with pytest.raises(InputError, match="cannot be written"):
        memory.write(run, 0, 1, {"control": {"w": state(1)["client/3/c"]}}, 0)
    (tmp_path / "node" / "server.log").symlink_to(victim / "precious")
    with pytest.raises(InputError, match="cannot be written"):
        appending(tmp_path / "node" / "server.log", tmp_path / "node")
    with claimed(tmp_path / "node"):
        assert files(victim) == before
