"""A program that was started by another one, and is not to outlive it."""

import os
import threading
import time

LOOK_EVERY_S = 0.5


def end_with(parent: int) -> None:
    """From now on, end at once when the program that started this process is gone.

    All that is stored is whole at any moment. A server's port and a run's folder are free then for whoever
    comes next.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(LOOK_EVERY_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
