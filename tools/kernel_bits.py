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
    clients, first = list(range(4, 4 + CLIENTS)), [7] * CLIENTS

    def encoding(kind: str) -> Any:
        table = tables if kind == "table" else None
        return module.Encoding(kind, STEPS, 2, clients, first, (11, 13), table, None)

    images = between(drawn, -0.2, 1.2, CLIENTS, SAMPLES, SIZES[0])
    for kind in ("rate", "table"):
        trains = np.empty((CLIENTS, SAMPLES, SIZES[0], 2), np.int64)
        kernels.encode(images, encoding(kind), trains, threads)
        yield f"encode {kind}", [trains]
    for reset in ("subtract", "zero", "none"):
        neuron = module.Neuron(0.95, 1.0, reset, 2.0)
        yield f"fire {reset}", fired(drawn, kernels, neuron, threads)
        for integrates in (False, True):
            for kind in ("rate", "table", "direct"):
                for wanted in ("squares", "cross entropy"):
                    taken, arrays = learning(drawn, module, wanted)
                    kernels.spiking(taken, encoding(kind), neuron, integrates, threads)
                    yield f"spiking {reset} {kind} {wanted} {integrates}", arrays
    for wanted in ("squares", "cross entropy"):
        taken, arrays = learning(drawn, module, wanted)
        kernels.conventional(taken, threads)
        yield f"conventional {wanted}", arrays
    large, small = between(drawn, -1, 1, 5, 12, 15), np.empty((5, 4, 5), np.float32)
    kernels.average(large, 3, small, threads)
    into_large = np.empty_like(large)
    kernels.average_adjoint(small, 3, into_large, threads)
    yield "average", [small, into_large]
    weight, m, v = (between(drawn, -1, 1, 1001) for _ in range(3))
    v = np.abs(v)
    for number in range(1, 4):
        slopes = between(drawn, -1, 1, 1001)
        kernels.adam(slopes, (0.001, 0.9, 0.999, 1e-8), number, weight, m, v, threads)
    yield "adam", [weight, m, v]


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


def learning(drawn: Drawn, module: Any, wanted: str) -> tuple[Any, list[np.ndarray]]:
    """A step of a network of dense layers, and the arrays that it fills; one image is absent."""
    positions = drawn.integers(0, PIXELS, (CLIENTS, SAMPLES), np.int64)
    positions[1, 2] = -1
    layers, filled = [], []
    for inputs, outputs in itertools.pairwise(SIZES):
        weight = between(drawn, -0.4, 0.5, CLIENTS, outputs, inputs)
        bias = between(drawn, -0.1, 0.1, CLIENTS, outputs)
        slopes = [np.empty_like(weight), np.empty_like(bias)]
        layers.append(module.Weights(weight, bias, *slopes))
        filled += slopes
    labels = drawn.integers(0, SIZES[-1], (CLIENTS, SAMPLES), np.int64)
    scores = np.empty((CLIENTS, SAMPLES, SIZES[-1]), np.float32)
    losses, events = np.empty(CLIENTS), np.empty((len(layers), CLIENTS), np.int64)
    pixels = between(drawn, 0, 1, PIXELS, SIZES[0])
    loss = module.Wanted(wanted, labels, losses, 0.8 * STEPS, 0.2 * STEPS, 1 / 50)
    taken = module.Pass(pixels, positions, layers, loss, scores, events)
    return taken, [scores, losses, events, *filled]


if __name__ == "__main__":
    main()
