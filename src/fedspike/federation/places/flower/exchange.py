"""Messages to nodes and their answers, with the time that each took."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

from flwr.app import Message, RecordDict
from flwr.serverapp import Grid

POLL_S = 0.1  # how often the SuperLink is asked for answers


@dataclass(frozen=True)
class Answer:
    """What a node answered `seconds` after it was asked, or in its place what went wrong."""

    node: int
    seconds: float
    content: RecordDict | None
    error: str = ""


def exchange(
    grid: Grid, contents: Mapping[int, RecordDict], kind: str, round: int, deadline_s: float
) -> tuple[list[Answer], float]:
    """Send each node its message and wait for all answers, or until the deadline; who is late is left out.

    The answers come in the order of their coming, with the seconds that it took to hand out the messages and
    fetch the last answer. A node that is gone is given up by Flower after two missed heartbeats, a minute.
    """
    began = time.monotonic()
    messages = [
        Message(content, node, kind, ttl=deadline_s, group_id=str(round))
        for node, content in contents.items()
    ]
    sent = dict(zip(grid.push_messages(messages), contents, strict=True))
    handed_out, fetched = time.monotonic() - began, 0.0
    answers, passed = list[Answer](), 0.0
    while sent and passed < deadline_s:
        asked_at = time.monotonic()
        replies = list(grid.pull_messages(list(sent)))
        passed = time.monotonic() - began
        for reply in replies:
            node = sent.pop(reply.metadata.reply_to_message_id)
            error = (reply.error.reason or "an error") if reply.has_error() else ""
            answers.append(Answer(node, passed, None if error else reply.content, error))
        if replies:
            fetched = time.monotonic() - asked_at
        elif sent:
            time.sleep(POLL_S)
    return answers, handed_out + fetched
