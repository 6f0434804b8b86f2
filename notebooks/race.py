"""A race on your machine, against snnTorch and Flower: marimo edit notebooks/race.py"""

import marimo

app = marimo.App(width="medium", app_title="A race on your machine")


@app.cell
def _():
    import sys
    from pathlib import Path

    import marimo as mo
    import torch

    sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
    return mo, torch


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    # A race on your machine

    The same round of federated learning by three programs: FedSpike; a loop around snnTorch, as
    its tutorials write it, one device after another; and Flower's simulation of devices that
    train the same snnTorch module. Same network, images, order, batches, optimiser and first
    weights. `make bench` races more of them, for longer.
    """)


@app.cell
def _(mo):
    from rivals import FedSpike
    from snntorch_loop import SPIKE_COUNT_LOSS, OneAfterAnother, SnnTorch, started
    from turns import take_turns
    from work import Work

    small = "small" in mo.cli_args()
    work = Work(samples=64, time_steps=5) if small else Work(samples=500)
    ours = FedSpike(work.snn, work)
    loop = OneAfterAnother(started(SnnTorch(work), work), SPIKE_COUNT_LOSS, work)
    seconds = take_turns({"FedSpike": ours, "snnTorch, one device after another": loop}, 3)
    return ours, seconds, small, work


@app.cell
def _(small, torch, work):
    from flower_simulation import measure

    flower = measure("snntorch", work, rounds=1 if small else 3, threads=torch.get_num_threads())
    return (flower,)


@app.cell(hide_code=True)
def _(flower, mo, seconds, torch, work):
    import statistics

    times = {
        **{name: statistics.median(each) for name, each in seconds.items()},
        "Flower's simulation of snnTorch": statistics.median(flower["seconds"]),
    }
    fastest = times["FedSpike"]
    mo.vstack(
        [
            mo.ui.table(
                [
                    {
                        "program": name,
                        "seconds a round": f"{t:.3g}",
                        "times FedSpike's": f"{t / fastest:.1f}",
                    }
                    for name, t in times.items()
                ],
                selection=None,
            ),
            mo.md(f"""
            {work.clients} devices x {work.samples} images x {work.time_steps} time
            steps; {torch.get_num_threads()} threads, medians of
            {len(seconds["FedSpike"])} rounds after one to warm up. Other programs on
            the machine change this.
            """),
        ]
    )


if __name__ == "__main__":
    app.run()
