"""The processes of one run: what each of them has to say to all, as bytes. Nothing is pickled."""

from abc import ABC, abstractmethod
from collections.abc import Callable

import msgspec

from fedspike.errors import InputError

SOUND, FAULT = b"\0", b"\1"


class SharedError(InputError):
    """Something wrong in one of the processes, of which all others were told: it need be said once."""


class _Fault(msgspec.Struct):
    """An InputError as it travels."""

    passed: str
    expected: str
    fix: str


class ProcessGroup(ABC):
    """`size` processes that do the same; this one is number `rank`, from 0."""

    rank: int
    size: int

    @abstractmethod
    def gather(self, content: bytes) -> list[bytes]:
        """What each process gave, that of rank 0 first; waits until all have.

        Raises InputError where one of them has gone.
        """

    def together(self, say: Callable[[], bytes]) -> list[bytes]:
        """What each process says. Raises SharedError in all of them where it cannot say it in one."""
        if self.size == 1:
            return [say()]
        try:
            own = SOUND + say()
        except InputError as error:
            fault = _Fault(error.passed, error.expected, error.fix)
            own = FAULT + msgspec.json.encode(fault)
        told = self.gather(own)
        for rank, content in enumerate(told):
            if content[:1] == FAULT:
                fault = msgspec.json.decode(content[1:], type=_Fault)
                passed = fault.passed if told[0][:1] == FAULT else f"rank {rank}: {fault.passed}"
                raise SharedError(passed, expected=fault.expected, fix=fault.fix)
        return [content[1:] for content in told]


class OneProcess(ProcessGroup):
    """This process, and no other."""

    rank, size = 0, 1

    def gather(self, content: bytes) -> list[bytes]:
        """What it gave."""
        return [content]
