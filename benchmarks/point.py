"""One rival on one work in a process of its own: its peak memory and its time to the first round are its own.

    python benchmarks/point.py fedspike '{"time_steps": 25, "samples": 600}' --rounds 3

prints JSON: the `seconds` of every round after the first, the seconds from the start of the process to the
end of the first round, and the most memory it held. Imports (of all rivals, for each) and data included.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from itertools import pairwise
from typing import Any

from work import Work, peak_mb


def measure(rival: str, work: Work, rounds: int, threads: int) -> dict[str, Any]:
    """Measure in a new process."""
    options = {"rounds": rounds, "threads": threads, "started": time.time()}
    arguments = [f"--{name}={value}" for name, value in options.items()]
    command = [sys.executable, __file__, *arguments, rival, work.to_json()]
    done = subprocess.run(command, env=os.environ, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{rival} failed on {work}:\n{done.stderr[-4000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def run(rival: str, work: Work, rounds: int, threads: int, started: float) -> dict[str, Any]:
    """Measure in this process."""
    import torch
    from rivals import RIVALS

    torch.set_num_threads(threads)
    trainer = RIVALS[rival](work)
    ends = []
    for number in range(1, 2 + rounds):
        trainer.round(number)
        ends.append(time.time())
    return {
        "seconds": [end - start for start, end in pairwise(ends)],
        "first_round_seconds": ends[0] - started,
        "peak_mb": peak_mb(),
    }


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("rival")
    options.add_argument("work", type=Work.from_json)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--threads", type=int, default=2)
    options.add_argument("--started", type=float, default=time.time())
    print(json.dumps(run(**vars(options.parse_args()))))
