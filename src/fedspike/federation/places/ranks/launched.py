"""What whoever started the processes of a run says of each: torchrun does, and a line of Slurm can."""

from collections.abc import Mapping

from msgspec import Struct

from fedspike.errors import InputError
from fedspike.reading import digested

RANK, SIZE, ADDRESS, PORT = "RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"
LOCAL_RANK, LOCAL_SIZE = "LOCAL_RANK", "LOCAL_WORLD_SIZE"
MOST_RANKS, MOST_PORTS = 4096, 65536
LONGEST_SHOWN = 40
LONGEST_WAIT_S = 7 * 86400
HOW = "start it with torchrun, or see docs/many-machines.md"
UNSET = f"{HOW}; to train in one process: unset {RANK} {SIZE}"


class Launched(Struct, frozen=True):
    """One of `size` processes; rank 0 waits for the others at `address` and `port`.

    `local_rank` is its number among those of its machine, which are `local_size`, if that is known.
    """

    rank: int
    size: int
    address: str
    port: int
    local_rank: int
    local_size: int | None

    @property
    def on_one_machine(self) -> bool:
        """Whether all processes are known to be on this machine."""
        return self.size in (1, self.local_size)


ALONE = Launched(0, 1, "", 0, 0, 1)


def launched(variables: Mapping[str, str]) -> Launched:
    """What the environment says; without a rank and a number of ranks, one process.

    Raises InputError, naming the variable, where it says what cannot be.

    >>> launched({"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "one", "MASTER_PORT": "29500"}).rank
    1
    >>> launched({"RANK": "2", "WORLD_SIZE": "2"})
    Traceback (most recent call last):
    fedspike.errors.InputError: RANK = 2 of WORLD_SIZE = 2
      expected: a rank from 0 to 1
      fix: start it with torchrun, or see docs/many-machines.md
    """
    if not {RANK, SIZE} & variables.keys():
        return ALONE
    for name, other in ((RANK, SIZE), (SIZE, RANK)):
        if name not in variables:
            raise InputError(
                f"{other} = {_shown(variables[other])} without {name}",
                expected=f"both of {RANK} and {SIZE}, or none",
                fix=UNSET,
            )
    size = _number(variables, SIZE, 1, MOST_RANKS + 1)
    rank = _number(variables, RANK, 0, MOST_RANKS)
    if rank >= size:
        raise InputError(
            f"{RANK} = {rank} of {SIZE} = {size}", expected=f"a rank from 0 to {size - 1}", fix=HOW
        )
    if size == 1:
        return ALONE
    for name, what in ((ADDRESS, "the name of rank 0's machine"), (PORT, "a port there")):
        if not variables.get(name):
            raise InputError(
                f"{SIZE} = {size} without {name}", expected=f"{name}, {what}", fix=UNSET
            )
    return Launched(
        rank,
        size,
        variables[ADDRESS],
        _number(variables, PORT, 1, MOST_PORTS),
        _number(variables, LOCAL_RANK, 0, MOST_RANKS) if LOCAL_RANK in variables else 0,
        _number(variables, LOCAL_SIZE, 1, MOST_RANKS + 1) if LOCAL_SIZE in variables else None,
    )


def _number(variables: Mapping[str, str], name: str, first: int, end: int) -> int:
    text = variables[name]
    if text.isascii() and text.isdigit() and first <= int(text[:9]) < end:
        return int(text[:9])
    raise InputError(
        f"{name} = {_shown(text)}", expected=f"a whole number from {first} to {end - 1}", fix=HOW
    )


def _shown(text: str) -> str:
    return digested(text, LONGEST_SHOWN) or "nothing"
