"""What is seen of experiments by somebody who watches, as records: terminal, page and programs show the same.

Nothing here needs torch. Accuracies are from 0 to 1, times in seconds.
"""

from typing import Literal

from fedspike.records.schema import Record
from fedspike.records.time_left import Left

State = Literal["waiting", "running", "stopped", "finished"]
"""`waiting`: its turn has not come; `stopped`: it is not finished, and no process is at it."""


class RunView(Record, frozen=True, kw_only=True):
    """A run: `rounds` is None where nothing says how many it will have; one that stopped has no `left_s`.

    `accuracy` and `loss` are the newest ones, the loss is None where it was not finite; `curve` has rounds
    and their accuracies, of neighbours the lowest and the highest. If it has `unread` rounds, these are read
    at the next look. `remarks` are sentences on what is wrong. Whether it is `spiking` is None before anybody
    trained.
    """

    run: str
    state: State
    spiking: bool | None
    rounds: int | None
    rounds_done: int
    accuracy: float | None
    loss: float | None
    curve: tuple[tuple[int, float], ...]
    round_s: float | None
    left_s: float | None
    unread: bool
    remarks: tuple[str, ...]


class ExperimentView(Record, frozen=True, kw_only=True):
    """The runs in a folder. It is `running` while a process has it, however many of its runs are done.

    `left` is how long it still takes if it is. `command` goes on with what stopped, in the folder where it
    was first given. `fixes` are the usual ones of what the remarks on its runs say.
    """

    folder: str
    state: State
    runs: tuple[RunView, ...]
    left: Left | None
    command: str | None
    remarks: tuple[str, ...]
    fixes: tuple[str, ...]


class View(Record, frozen=True, kw_only=True):
    """All that is watched; `absent` are the folders that hold no experiment yet."""

    experiments: tuple[ExperimentView, ...]
    absent: tuple[str, ...]

    @property
    def is_finished(self) -> bool:
        """Whether there is nothing to wait for."""
        return not self.absent and all(one.state == "finished" for one in self.experiments)
