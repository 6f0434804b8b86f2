"""Commands, options and presets are completed by the shells themselves."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

FEDSPIKE = Path(sys.executable).with_name("fedspike")

IN_BASH = """\
source <("$0" completion bash)
COMP_LINE="$1" COMP_POINT=${#1} COMP_TYPE=9
_python_argcomplete fedspike
printf '%s\\n' "${COMPREPLY[@]}"
"""
# zsh completes in an editor alone: the code has to be taken, and to know the command.
IN_ZSH = """\
autoload -U compinit && compinit -D
source <("$0" completion zsh)
[[ $_comps[fedspike] == _python_argcomplete ]] && COMP_LINE="$1" COMP_POINT=${#1} \
_ARGCOMPLETE=1 _ARGCOMPLETE_SHELL=zsh IFS=$'\\013' fedspike 8>&1 9>/dev/null | tr '\\013' '\\n'
"""
IN_FISH = 'fedspike completion fish | source; complete -C "$argv[1]"'
SHELLS: Mapping[str, tuple[str, ...]] = {
    "bash": ("bash", "--norc", "-c", IN_BASH, str(FEDSPIKE)),
    "zsh": ("zsh", "-f", "-c", IN_ZSH, str(FEDSPIKE)),
    "fish": ("fish", "--no-config", "-c", IN_FISH),
}


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("fedspike com", {"compare", "completion"}),
        ("fedspike run qui", {"quickstart"}),
        ("fedspike run min", {"mine.toml"}),
        ("fedspike run study --thr", {"--threads"}),
        ("fedspike data ch", {"check"}),
    ],
)
@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_completes(shell: str, typed: str, completed: set[str], tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    (tmp_path / "mine.toml").touch()
    path = f"{FEDSPIKE.parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [*SHELLS[shell], typed],
        cwd=tmp_path,
        env={**os.environ, "PATH": path, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    offered = {line.split("\t")[0].split(":")[0].strip() for line in done.stdout.splitlines()}
    assert offered - {""} == completed
