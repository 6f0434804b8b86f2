"""What the server's log says of refused requests: whoever knocks without end must not fill the disk."""

import logging
import time

from fedspike.deploy.knocks import place

EVERY_S = 3600.0
MOST = 100  # lines in that time
LOGGERS = ("uvicorn.access", "uvicorn.error")


class Refusals(logging.Filter):
    """Lets through the first refusal in an hour of each place and HTTP status, at most 100.

    How many others there were stands behind the first one of a later hour. What is no HTTP at all is told in
    the same way; all else passes.
    """

    def __init__(self) -> None:
        super().__init__()
        self._told: set[object] = set()
        self._since, self._untold = time.monotonic(), 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a line goes into the log."""
        if (refusal := self._refusal(record)) is None:
            return True
        now = time.monotonic()
        if now - self._since > EVERY_S:
            if self._untold:
                record.msg = f"{record.msg} (and {self._untold} refusals before it, untold)"
            self._told, self._since, self._untold = set(), now, 0
        if refusal in self._told or len(self._told) >= MOST:
            self._untold += 1
            return False
        self._told.add(refusal)
        return True

    @staticmethod
    def _refusal(record: logging.LogRecord) -> object:
        """What makes two refusals the same; None of what is none."""
        match record.args:
            case (str(peer), _, _, _, int(status)) if status >= 400:  # uvicorn's line of an answer
                return place(peer.rpartition(":")[0].strip("[]")), status
            case () | None if record.levelno == logging.WARNING:
                return str(record.msg)
        return None


def bound() -> None:
    """From now on, this process's server tells so much and no more."""
    refusals = Refusals()
    for name in LOGGERS:
        logging.getLogger(name).addFilter(refusals)
