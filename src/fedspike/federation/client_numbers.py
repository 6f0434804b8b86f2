"""The numbers of clients as people write and read them: "0-4, 7"."""

import re
from collections.abc import Iterable

from fedspike.errors import InputError

MOST = 10**6  # of a node


def spelled(clients: Iterable[int]) -> str:
    """Numbers of clients in their order, neighbours in one.

    >>> spelled([0, 1, 2, 4, 7, 8])
    '0-2, 4, 7-8'
    """
    runs: list[list[int]] = []
    for client in sorted(clients):
        if runs and client == runs[-1][-1] + 1:
            runs[-1][1:] = [client]
        else:
            runs.append([client])
    return ", ".join("-".join(map(str, run)) for run in runs)


def clients_of(text: str, where: str) -> tuple[int, ...]:
    """What `spelled` wrote; InputError for what else there is, `where` it stands.

    >>> clients_of("0-2, 4", "-")
    (0, 1, 2, 4)
    """
    clients: list[int] = []
    for run in text.split(","):
        first, _, last = run.strip().partition("-")
        last = last or first
        if not all(re.fullmatch(r"[0-9]{1,9}", end) for end in (first, last)):
            break
        more = range(int(first), int(last) + 1)
        if not 0 < len(more) <= MOST - len(clients):
            break
        clients += more
    else:
        if len(set(clients)) == len(clients):
            return tuple(clients)
    raise InputError(
        f"{where}: the clients {text[:100]}",
        expected=f"numbers of clients, each once, at most {MOST}",
        fix='write them as in "0-4, 7"',
    )
