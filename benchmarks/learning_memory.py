"""How the memory of a training step grows with the time steps, by learner.

Each measurement is a process of its own, on one thread, of one minibatch of the founding study's network
(784-100-10, rate code) of one client. Its peak of resident memory is set back before the step, and what the
step adds to what was resident then is printed in MB; nothing but the step is in it: forward pass, gradients,
and for the compiled engine its own buffers. Linux only.
"""

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path

TIME_STEPS = (10, 50, 200)
LEARNERS = {
    "backpropagation, plain torch": "Backpropagation()",
    "backpropagation, compiled": "Backpropagation()",
    "OTTT": "OTTT()",
    "e-prop": "EProp()",
    "e-prop, adaptive neurons": "EProp()",
}


def measured(learner: str, time_steps: int, rows: int) -> float:
    """MB that a step adds, in this process."""
    import torch

    import fedspike as fs
    from fedspike.engine.choice import engine_for
    from fedspike.engine.engines import Engine
    from fedspike.engine.plain_torch import PlainEngine
    from fedspike.networks import Batch
    from fedspike.parts.codes import Address
    from fedspike.randomness import stream

    torch.set_num_threads(1)
    cpu = torch.device("cpu")
    engine: Engine = PlainEngine(cpu) if "plain" in learner else engine_for(cpu, torch.float32)
    neuron = fs.AdaptiveLIF(adaptation=0.2, rho=0.97) if "adaptive" in learner else fs.LIF()
    network = fs.SNN(time_steps, neuron=neuron).over((28, 28), 10)
    data = fs.load_data("fashion-mnist-sample")
    pixels, labels = torch.from_numpy(data.x_train).flatten(1), torch.from_numpy(data.y_train)
    parameters = {n: w[None] for n, w in network.init(stream(0, "init")).items()}
    learner_of = {
        "Backpropagation()": fs.Backpropagation(),
        "OTTT()": fs.OTTT(),
        "EProp()": fs.EProp(),
    }

    def step(samples: int) -> None:
        address = Address(0, "encode", 1, (0,), (0,))
        batch = Batch(pixels, torch.arange(samples)[None], labels[None, :samples], address)
        taught = learner_of[LEARNERS[learner]].taught
        taught(engine, network, network.usual_loss, parameters, batch)

    step(1)  # what is loaded and made once
    resident = status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    step(rows)
    return (status("VmHWM") - resident) / 1000


def status(key: str) -> float:
    """KB of this process, as Linux counts them."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith(f"{key}:")))


def main() -> None:
    """Print a row for each learner and minibatch, a column for each number of time steps."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--one", nargs=3, help="learner, time steps and samples of one measurement")
    arguments = parser.parse_args()
    if arguments.one:
        learner, time_steps, rows = arguments.one
        print(measured(learner, int(time_steps), int(rows)))
        return
    # What is freed goes back at once, so that one step's memory is not hidden in another's.
    own = {**os.environ, "OMP_NUM_THREADS": "1", "MALLOC_MMAP_THRESHOLD_": "65536"}
    own |= {"MALLOC_TRIM_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "1"}
    for rows in (128, 1):
        print(f"minibatches of {rows}; MB at T = {', '.join(map(str, TIME_STEPS))}")
        for learner in LEARNERS:
            cells = []
            for time_steps in TIME_STEPS:
                asked = [sys.executable, __file__, "--one", learner, str(time_steps), str(rows)]
                found = [
                    float(subprocess.run(asked, env=own, check=True, capture_output=True).stdout)
                    for _ in range(arguments.repeats)
                ]
                cells.append(f"{statistics.median(found):.1f} ({min(found):.1f}-{max(found):.1f})")
            print(f"{learner:30}", *cells, sep="  ", flush=True)


if __name__ == "__main__":
    main()
