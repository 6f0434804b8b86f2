"""Messages to nodes and their answers, with the time that each took.

An answer that cannot be taken out of Flower's hands is its node's fault and nobody else's: it becomes an
answer that says so.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from flwr.app import Error, Message, RecordDict
from flwr.common.constant import ErrorCode
from flwr.serverapp import Grid

from fedspike.errors import InputError
from fedspike.shell import command

POLL_S = 0.1  # how often the SuperLink is asked for answers
LONGEST = 500  # characters of an error
IN_OUR_WORDS = {
    ErrorCode.NODE_UNAVAILABLE: "gone before it answered (usual fix: on its device, start it again: "
    f"{command('fleet', 'node', 'NODE')})",
    ErrorCode.MESSAGE_UNAVAILABLE: "no answer in time, or its key is not let in any more",
    ErrorCode.REPLY_MESSAGE_UNAVAILABLE: "an answer that came too late",
}


@dataclass(frozen=True)
class Answer:
    """What a node answered `seconds` after it was sent message `number`, or in its place what went wrong."""

    node: int
    seconds: float
    content: RecordDict | None
    error: str = ""
    number: str = ""


@dataclass
class Post:
    """Messages on their way: who was asked, by the number of the message, and when."""

    grid: Grid
    waiting: dict[str, tuple[int, float]] = field(default_factory=dict)

    def send(
        self, contents: Mapping[int, RecordDict], kind: str, round: int, within_s: float
    ) -> dict[int, str]:
        """Give each node its message, which Flower forgets after `within_s`; node -> the message's number."""
        now = time.monotonic()
        messages = [
            Message(content, node, kind, ttl=within_s, group_id=str(round))
            for node, content in contents.items()
        ]
        numbers = dict(zip(contents, self.grid.push_messages(messages), strict=True))
        self.waiting |= {number: (node, now) for node, number in numbers.items()}
        return numbers

    @property
    def asked(self) -> set[int]:
        """The nodes that have not answered yet."""
        return {node for node, _ in self.waiting.values()}

    def fetch(self) -> list[Answer]:
        """The answers that are there now."""
        if not self.waiting:
            return []
        answers, replies = list[Answer](), list[Message]()
        try:
            replies += self.grid.pull_messages(list(self.waiting))
        except Exception:  # of one of them, and nobody says of which
            for number in list(self.waiting):
                try:
                    replies += self.grid.pull_messages([number])
                except Exception as error:
                    reason = f"an answer that cannot be read: {type(error).__name__}: {error}"
                    answers.append(self._answer(number, None, reason))
        for reply in replies:
            if (
                number := reply.metadata.reply_to_message_id
            ) in self.waiting:  # and not a second one
                reason = _reason(reply.error) if reply.has_error() else ""
                answers.append(self._answer(number, None if reason else reply.content, reason))
        return answers

    def _answer(self, number: str, content: RecordDict | None, error: str) -> Answer:
        node, since = self.waiting.pop(number)
        return Answer(node, time.monotonic() - since, content, shown(error), number)


def _reason(error: Error) -> str:
    """Why there is no answer: Flower's reasons in our words, others as they are."""
    return IN_OUR_WORDS.get(error.code) or error.reason or "an error"


def shown(foreign: str) -> str:
    """The words of somebody else as a line to show: without what moves a cursor, and not without end."""
    text = "".join(c if c.isprintable() else " " for c in foreign[: LONGEST + 1])
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def in_words(error: Exception) -> str:
    """What went wrong with a node, and what to do about it, as a line to show."""
    if not isinstance(error, InputError):
        return shown(f"{type(error).__name__}: {error}")
    fix = f" (usual fix: {error.fix})" if error.fix else ""
    return shown(f"{error.passed}; expected {error.expected}{fix}")
