"""What the clients of a node remember between rounds, on the node's disk: it never leaves the device.

    memory/<run>/client-3/000012.<SHA-256 of the content>.safetensors

A round may not count in the end: the answer was too late, or the server died before it was stored. So a
client keeps what it remembered before a round until it is told, in the next, which of the two the server
knows of.
"""

import hashlib
from pathlib import Path

from fedspike.algorithms import Tree
from fedspike.errors import InputError
from fedspike.federation.memory_bytes import memory_bytes, memory_of
from fedspike.files import content_of, remove, write_whole


def read(folder: Path, client: int, round: int) -> Tree:
    """What the client remembered after that round. Raises InputError if it is gone or damaged."""
    home = folder / f"client-{client}"
    fix = f"restore {home}, or start the training again in a new folder on the server"
    for path in home.glob(f"{round:06d}.*.safetensors"):
        content = content_of(path)
        if hashlib.sha256(content).hexdigest() != path.name.split(".")[1]:
            raise InputError(
                f"{path}: was changed or damaged", expected="the file as fedspike wrote it", fix=fix
            )
        return memory_of(content, path, fix)
    raise InputError(
        f"client {client} has forgotten what it knew after round {round}",
        expected=f"a file {round:06d}.*.safetensors in {home}",
        fix=fix,
    )


def write(folder: Path, client: int, round: int, tree: Tree, before: int) -> None:
    """Keep what the client remembers after a round, and after `before`; forget everything else."""
    home, root = folder / f"client-{client}", folder.parents[1]  # the node's own folder
    content = memory_bytes(tree)
    name = f"{round:06d}.{hashlib.sha256(content).hexdigest()}.safetensors"
    write_whole(home / name, content, root)
    for path in home.glob("*.safetensors"):
        if path.name != name and not path.name.startswith(f"{before:06d}."):
            remove(path, root)
