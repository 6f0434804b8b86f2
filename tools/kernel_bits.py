"""Every compiled kernel on the same numbers, and the SHA-256 of what comes out: one line for each case.

    python tools/kernel_bits.py _kernels.so

Processors with the same lines compute the same bits. It needs numpy and the compiled module alone, so
that it runs where torch does not or would take hours: `make aarch64`.
"""

import hashlib
import importlib.util
import itertools
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

CLIENTS, SAMPLES, STEPS, SIZES = 3, 6, 70, (65, 33, 10)
PIXELS = 90  # images, of which each client takes some
LEVELS = 65536  # rows of a table of spike trains, as in encode.hpp
Drawn = np.random.Generator


def main() -> None:
    """Print the lines for each instruction set of this processor."""
    spec = importlib.util.spec_from_file_location("fedspike.engine._kernels", sys.argv[1])
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for kernels in module.instruction_sets:
        for threads in (1, 3):
            for case, arrays in cases(module, kernels, threads):
                digest = hashlib.sha256(b"".join(a.tobytes() for a in arrays)).hexdigest()
                sys.stdout.write(f"{kernels.name}\t{threads} threads\t{case}\t{digest}\n")


def cases(module: Any, kernels: Any, threads: int) -> Iterator[tuple[str, list[np.ndarray]]]:
    """The name of each case, and what the kernel wrote."""
    drawn = np.random.Generator(np.random.Philox(key=15))
    tables = drawn.integers(-(2**63), 2**63, (LEVELS, 2), np.int64)

    def encoding(kind: str, steps: int = 1) -> Any:
        clients, first = list(range(4, 4 + CLIENTS)) * steps, [7] * CLIENTS * steps
        key, table = (11, 13), tables if kind == "table" else None
        return module.Encoding(kind, STEPS, 2, clients, first, key=key, table=table)

    images = between(drawn, -0.2, 1.2, CLIENTS, SAMPLES, SIZES[0])
    for kind in ("rate", "table"):
        trains = np.empty((CLIENTS, SAMPLES, SIZES[0], 2), np.int64)
        kernels.encode(images, encoding(kind), trains, threads)
        yield f"encode {kind}", [trains]
    for reset in ("subtract", "zero", "none"):
        neuron = module.Neuron("lif", 0.95, 1.0, reset, "atan", 2.0)
        yield f"fire {reset}", fired(drawn, kernels, neuron, threads)
        for read_out in ("count", "membrane"):
            for kind in ("rate", "table", "direct"):
                for wanted in ("squares", "cross entropy"):
                    taken, arrays = learning(drawn, module, wanted)
                    kernels.spiking(taken, encoding(kind), neuron, read_out, threads)
                    yield f"spiking {reset} {kind} {wanted} {read_out}", arrays
    neuron = module.Neuron("lif", 0.95, 1.0, "subtract", "atan", 2.0)
    for how in (
        {"convolutions": True},
        {"normalised": True},
        {"convolutions": True, "normalised": True},
    ):
        taken, arrays = learning(drawn, module, "cross entropy", **how)
        kernels.spiking(taken, encoding("rate"), neuron, "count", threads)
        yield f"spiking {' '.join(how)}", arrays
    taken, arrays = learning(drawn, module, "cross entropy", steps=3)
    kernels.spiking(taken, encoding("rate", 3), neuron, "count", threads)
    yield "spiking in a row", arrays
    for kind, slope, more in (
        ("current-based", "sigmoid", {"alpha": 0.8}),
        ("adaptive", "triangular", {"adaptation": 0.2, "rho": 0.9}),
    ):
        taken, arrays = learning(drawn, module, "cross entropy", convolutions=True)
        other = module.Neuron(kind, 0.95, 0.5, "zero", slope, 2.0, **more)
        kernels.spiking(taken, encoding("direct"), other, "first", threads)
        yield f"spiking {kind}", arrays
    for wanted in ("squares", "cross entropy"):
        for how in ({}, {"convolutions": True}, {"steps": 3}):
            taken, arrays = learning(drawn, module, wanted, **how)
            kernels.conventional(taken, threads)
            yield f"conventional {wanted} {' '.join(how)}", arrays
    large, small = between(drawn, -1, 1, 5, 12, 15), np.empty((5, 4, 5), np.float32)
    kernels.average(large, 3, small, threads)
    into_large = np.empty_like(large)
    kernels.average_adjoint(small, 3, into_large, threads)
    yield "average", [small, into_large]
    weight, m, v = (between(drawn, -1, 1, 1001) for _ in range(3))
    v = np.abs(v)
    for number in range(1, 4):
        slopes = between(drawn, -1, 1, 1001)
        kernels.adam(slopes, adam(module), number, weight, m, v, threads)
    yield "adam", [weight, m, v]


def adam(module: Any) -> Any:
    """Adam with a decay of weights."""
    return module.Adam(0.001, 0.9, 0.999, 1e-8, 0.1)


def between(drawn: Drawn, low: float, high: float, *shape: int) -> np.ndarray:
    """Uniform float32 numbers, the same on every machine."""
    return drawn.random(shape, np.float32) * np.float32(high - low) + np.float32(low)


def fired(drawn: Drawn, kernels: Any, neuron: Any, threads: int) -> list[np.ndarray]:
    """A layer of neurons through time, and back."""
    currents = between(drawn, -1, 1.5, CLIENTS, SAMPLES, STEPS, SIZES[1])
    present = drawn.random((CLIENTS, SAMPLES)) < 0.8
    membrane, spikes, gradient = (np.empty_like(currents) for _ in range(3))
    counts = np.empty((CLIENTS, SIZES[1]), np.int64)
    kernels.fire(currents, present, neuron, membrane, spikes, counts, threads)
    kernels.fire_adjoint(
        membrane, between(drawn, -1, 1, *currents.shape), neuron, gradient, threads
    )
    return [membrane, spikes, counts, gradient]


class Layers:
    """Weights that are drawn, where their gradients go, and what normalises them."""

    def __init__(self, drawn: Drawn, module: Any, *, stepped: bool, normalised: bool) -> None:
        self.drawn, self.module = drawn, module
        self.stepped, self.normalised = stepped, normalised
        self.filled: list[np.ndarray] = []

    def weights(self, outputs: int, inputs: int, *, last: bool = False) -> Any:
        """Of a layer; those that Adam steps are written over."""
        weight = between(self.drawn, -0.4, 0.5, CLIENTS, outputs, inputs)
        bias = between(self.drawn, -0.1, 0.1, CLIENTS, outputs)
        into = [weight, bias] if self.stepped else [np.empty_like(weight), np.empty_like(bias)]
        self.filled += into
        norm = None if last or not self.normalised else self.norm(outputs)
        return self.module.Weights(weight, bias, *into, norm=norm)

    def norm(self, channels: int) -> Any:
        """One for every time step, of the statistics of a minibatch."""
        gamma, *used = (between(self.drawn, 0.5, 1, CLIENTS, STEPS, channels) for _ in range(3))
        slopes, by_batch = np.empty_like(gamma), np.ones(CLIENTS, bool)
        self.filled += [*used, slopes]
        return self.module.Normalisation(gamma, *used, by_batch, 1e-4, slopes)


def learning(
    drawn: Drawn,
    module: Any,
    wanted: str,
    steps: int = 1,
    *,
    convolutions: bool = False,
    normalised: bool = False,
) -> tuple[Any, list[np.ndarray]]:
    """A minibatch, or so many with Adam's steps, and the arrays that are filled; one image is absent."""
    clients, stepped = steps * CLIENTS, steps > 1
    positions = drawn.integers(0, PIXELS, (clients, SAMPLES), np.int64)
    positions[1, 2] = -1
    layers, stages, sizes = Layers(drawn, module, stepped=stepped, normalised=normalised), [], SIZES
    if convolutions:  # of 5 x 13 pixels: 3 x 3, that with a pool, and a depthwise one with a stride
        for channels, channels_in, *shape in (
            (12, 1, 5, 13, 3, 1, 1, 1, 1, True),
            (20, 12, 5, 13, 3, 1, 1, 1, 2, False),
            (20, 1, 2, 6, 3, 2, 1, 20, 1, True),
        ):
            stages.append(module.Convolution(layers.weights(channels, 9 * channels_in), *shape))
        sizes = (60, *SIZES[1:])
    linear = [
        layers.weights(outputs, inputs, last=outputs == sizes[-1])
        for inputs, outputs in itertools.pairwise(sizes)
    ]
    labels = drawn.integers(0, SIZES[-1], (clients, SAMPLES), np.int64)
    scores, losses = np.empty((clients, SAMPLES, SIZES[-1]), np.float32), np.empty(clients)
    events = np.empty((3 * len(stages) + len(linear) + 1, clients), np.int64)
    pixels = between(drawn, 0, 1, PIXELS, SIZES[0])
    targets = (0.8 * STEPS, 0.2 * STEPS, 1 / 50)
    by = adam(module) if stepped else None
    loss = module.Wanted(wanted, labels, losses, *targets, adam=by)
    taken = module.Pass(pixels, positions, linear, loss, scores, events, stages)
    return taken, [scores, losses, events, *layers.filled]


if __name__ == "__main__":
    main()
