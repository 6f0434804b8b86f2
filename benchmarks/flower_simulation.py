"""Flower's own simulation (Ray actors, FedAvg) around the modules that the loops train client by client.

A round's time is what passes on the server from one round's new model to the next one's, so Flower's
messages and its average are in it and the start of Ray and of the actors is not. Rounds follow one another
in one run, because Flower has no other way; so they are not measured in turn with the other rivals.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from work import Work, peak_mb

# The better of two settings tried on two cores: one actor with two threads took about twice as long as two
# actors with a thread each (snnTorch, 10 x 384 samples: 4.8 to 6.0 s a round against 2.2 to 3.2 s; two runs
# of two rounds each, in turn, on a machine that had other work too).
THREADS_PER_ACTOR = 1


def measure(model: str, work: Work, rounds: int, threads: int) -> dict[str, Any]:
    """One warm-up round and `rounds` measured ones, in a process that ends with all its children."""
    with tempfile.TemporaryDirectory() as scratch:
        result = Path(scratch) / "result.json"
        quiet = {
            **{"FLWR_HOME": scratch, "FLWR_TELEMETRY_ENABLED": "0", "RAY_USAGE_STATS_ENABLED": "0"},
            **{
                "FLWR_DISABLE_UPDATE_CHECK": "1",
                "OMP_WAIT_POLICY": "passive",
            },  # actors have a thread
        }
        options = {"rounds": rounds, "threads": threads, "started": time.time(), "output": result}
        arguments = [f"--{name}={value}" for name, value in options.items()]
        command = [sys.executable, __file__, *arguments, model, work.to_json()]
        done = subprocess.run(
            command, env=os.environ | quiet, capture_output=True, text=True, timeout=1800
        )
        if done.returncode or not result.exists():
            raise RuntimeError(f"Flower's simulation failed:\n{done.stderr[-4000:]}")
        return json.loads(result.read_text())


def run(model: str, work: Work, rounds: int, threads: int, started: float) -> dict[str, Any]:
    """The same in this process, which Ray and Flower then have used up."""
    import flower_client
    from flwr.app import ArrayRecord, ConfigRecord, Context, MetricRecord, RecordDict
    from flwr.serverapp import Grid, ServerApp
    from flwr.serverapp.strategy import FedAvg
    from flwr.simulation import run_simulation
    from rivals import module
    from snntorch_loop import accuracy

    trained, _ = module(model, work)
    ends: list[float] = []
    memory: list[float | None] = []

    def note(server_round: int, arrays: ArrayRecord) -> MetricRecord | None:
        """Flower calls this with the start model and after every round with the new one."""
        ends.append(time.time())
        if server_round == 1 + rounds:
            memory.append(peak_mb_of_descendants())
            trained.load_state_dict(arrays.to_torch_state_dict())
        return None

    def demand_all(replies: list[RecordDict], weighted_by: str) -> MetricRecord:
        """Flower averages whoever is left when a client fails; such a round would not be the same work."""
        del weighted_by
        if len(replies) != work.cohort:
            raise RuntimeError(f"{len(replies)} of {work.cohort} clients answered")
        return MetricRecord({"clients": len(replies)})

    server = ServerApp()

    @server.main()
    def main(grid: Grid, context: Context) -> None:
        del context
        config = {"model": model, "work": work.to_json(), "threads": THREADS_PER_ACTOR}
        FedAvg(
            fraction_evaluate=0.0,
            min_train_nodes=work.cohort,
            min_available_nodes=work.clients,
            train_metrics_aggr_fn=demand_all,
        ).start(
            grid,
            ArrayRecord(trained.state_dict()),
            num_rounds=1 + rounds,
            train_config=ConfigRecord(config),
            evaluate_fn=note,
        )

    run_simulation(
        server,
        flower_client.app,
        num_supernodes=work.clients,
        backend_config={
            "init_args": {
                "num_cpus": threads,
                "_node_ip_address": "127.0.0.1",
                "_temp_dir": os.environ["FLWR_HOME"],
            },
            "client_resources": {"num_cpus": THREADS_PER_ACTOR, "num_gpus": 0.0},
        },
    )
    return {
        "seconds": [end - start for start, end in pairwise(ends[1:])],
        "first_round_seconds": ends[1] - started,
        "peak_mb": memory[0],
        "accuracy": accuracy(trained, work),
    }


def peak_mb_of_descendants() -> float | None:
    """The peaks of this process and all that it started, added up; what they share counts in each."""
    parents = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            after_name = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it ended meanwhile
        parents[int(status.parent.name)] = int(after_name[1])
    family = {os.getpid()}
    while found := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= found
    peaks = [peak for pid in family if (peak := peak_mb(pid)) is not None]
    return sum(peaks) if peaks else None


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("model", choices=("snntorch", "spikingjelly", "ann"))
    options.add_argument("work", type=Work.from_json)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--threads", type=int, default=2)
    options.add_argument("--started", type=float, default=time.time())
    options.add_argument("--output", type=Path, required=True)
    chosen = vars(options.parse_args())
    output = chosen.pop("output")
    output.write_text(json.dumps(run(**chosen)))
