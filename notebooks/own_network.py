"""Your own snnTorch network in a fleet: marimo edit notebooks/own_network.py"""

import marimo

app = marimo.App(width="medium", app_title="Your own snnTorch network in a fleet")


@app.cell
def _():
    import marimo as mo
    import snntorch
    import torch
    from torch import nn

    import fedspike as fs

    return fs, mo, nn, snntorch, torch


@app.cell(hide_code=True)
def _(mo):
    mo.md("""
    # Your own snnTorch network in a fleet

    FedSpike takes a torch module as it is: it trains it on ten devices, counts what their
    processors would do, and compares it with a conventional network. This network is written as
    snnTorch's tutorials write theirs.
    """)


@app.cell
def _(nn, snntorch, torch):
    class Net(nn.Module):
        """784 pixels, 100 hidden neurons, 10 classes."""

        def __init__(self):
            super().__init__()
            self.fc1, self.fc2 = nn.Linear(784, 100), nn.Linear(100, 10)
            self.lif1, self.lif2 = snntorch.Leaky(beta=0.9), snntorch.Leaky(beta=0.9)

        def forward(self, spikes):
            """[time, batch, 784] to [time, batch, 10]."""
            mem1, mem2 = self.lif1.reset_mem(), self.lif2.reset_mem()
            recorded = []
            for step in spikes:
                hidden, mem1 = self.lif1(self.fc1(step), mem1)
                output, mem2 = self.lif2(self.fc2(hidden), mem2)
                recorded.append(output)
            return torch.stack(recorded)

    torch.manual_seed(0)
    module = Net()
    return (module,)


@app.cell
def _(fs, module):
    network = fs.ModuleNetwork(module, (784,), 10, code=fs.Rate(), time_steps=10)
    layers = network.operations().layers  # what it found: two layers with weights
    {name: f"{layer.inputs} to {layer.outputs}" for name, layer in layers.items()}
    return (network,)


@app.cell
def _(fs, mo, network):
    ROUNDS = int(mo.cli_args().get("rounds") or 8)

    def train(one):
        plan = fs.Plan(
            data=fs.FashionMNISTSample(),
            partition=fs.Classes(3),
            fleet=fs.Fleet(clients=10),
            network=one,
            learner=fs.Backpropagation(batch_size=20),
            rounds=ROUNDS,
        )
        return list(fs.rounds(plan))

    trained = {"your network": train(network), "ANN": train(fs.ANN())}
    return (trained,)


@app.cell(hide_code=True)
def _(mo, trained):
    rows = [
        {
            "network": name,
            "rounds": len(rounds),
            "accuracy": f"{rounds[-1].accuracy:.1%}",
            "modelled mJ a round, computing": round(
                rounds[-1].bill("horowitz45-int8", level="compute").nominal_mj, 3
            ),
            "with memory": round(rounds[-1].bill("horowitz45-int8", level="memory").nominal_mj, 3),
        }
        for name, rounds in trained.items()
    ]
    mo.vstack(
        [
            mo.ui.table(rows, selection=None),
            mo.md("""
            The energy is modelled: counted operations times prices that others
            published. Every algorithm and every partition takes your module;
            `docs/own-networks.md` says what is refused, and why.
            """),
        ]
    )


if __name__ == "__main__":
    app.run()
