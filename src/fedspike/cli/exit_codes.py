"""How a command ends: its exit code says what became of it, as docs/commands.md lists."""

import signal

DONE = 0  # and all that was asked for is stored or said
OUR_DEFECT = 1  # Python's own, after a traceback
WRONG_INPUT = 2  # as argparse
READER_GONE = 128 + signal.SIGPIPE  # as shells count: whoever read our output has gone


def stopped_by(number: int) -> int:
    """The code of a command that a signal stopped, as shells count.

    >>> stopped_by(signal.SIGINT), stopped_by(signal.SIGTERM)
    (130, 143)
    """
    return 128 + number
