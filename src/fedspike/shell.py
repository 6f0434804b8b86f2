"""A command of FedSpike as a message shows it, to be copied into a shell."""

import shlex


def command(*words: object) -> str:
    """The command with these words; a shell takes each as one, also a folder with a space in its name.

    >>> command("fleet", "node", "my folder")
    "fedspike fleet node 'my folder'"
    """
    return shlex.join(["fedspike", *map(str, words)])
