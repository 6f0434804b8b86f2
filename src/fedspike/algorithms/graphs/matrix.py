"""A mixing matrix of one's own.

A file of comma-separated values has a line for each client, with a number for each client:

    0.5,0.5,0
    0.5,0.25,0.25
    0,0.25,0.75

A run keeps what the file said in its own settings, as `rows`.
"""

import math
from typing import Annotated

import numpy as np
from msgspec import Meta

from fedspike.algorithms.graphs.graph import MOST_CLIENTS, Graph, Links, Weights
from fedspike.errors import InputError
from fedspike.reading import fill, lines_of

TOLERANCE = 1e-6  # of a sum of numbers that a person wrote
Row = Annotated[
    tuple[Annotated[float, Meta(ge=0, le=1)], ...], Meta(min_length=1, max_length=MOST_CLIENTS)
]
Rows = Annotated[
    tuple[Row, ...],
    Meta(
        max_length=MOST_CLIENTS,
        description="W, where there is no file: row i says how much each client counts for client i",
    ),
]


class Matrix(Graph, tag="matrix"):
    """Clients are linked that count for each other, as much as the matrix says."""

    path: Annotated[str, Meta(description="comma-separated, a line for each client")] = ""
    rows: Rows = ()

    def check(self) -> None:
        """Read the file. Raises InputError for what is no symmetric, doubly stochastic matrix."""
        fill(self, ["rows"], _read)
        n = len(self.rows)
        for i, row in enumerate(self.rows):
            if len(row) != n:
                raise _unfit(f"{n} rows, and {len(row)} numbers in row {i}", "a square matrix")
        if not n:
            raise _unfit("no rows", 'path = "weights.csv", or rows')
        W = np.array(self.rows)
        for name, sums in (("row", W.sum(1)), ("column", W.sum(0))):
            worst = int(np.argmax(np.abs(sums - 1)))
            if abs(sums[worst] - 1) > TOLERANCE:
                raise _unfit(
                    f"{name} {worst} sums to {sums[worst]:.9g}",
                    "a doubly stochastic matrix: each row and each column sums to 1",
                )
        apart = np.abs(W - W.T)
        if apart.max() > TOLERANCE:
            i, j = map(int, np.unravel_index(np.argmax(apart), apart.shape))
            raise _unfit(
                f"{W[i, j]:.9g} in row {i}, column {j}, and {W[j, i]:.9g} in row {j}, column {i}",
                "a symmetric matrix: a link carries a model each way",
            )

    def links(self, clients: int, seed: int) -> Links:
        """Where two clients count for each other. Raises InputError for another number of clients."""
        del seed
        if clients != len(self.rows):
            raise InputError(
                f"a mixing matrix of {len(self.rows)} clients, for {clients}",
                expected="a row for each client of the fleet",
                fix=f"set fleet.clients = {len(self.rows)}",
                keys=("rows", "path", "fleet.clients"),
            )
        return tuple((int(i), int(j)) for i, j in np.argwhere(np.triu(self.rows, 1)))

    def weights(self, clients: int, seed: int) -> Weights:
        """As written; the diagonal is what is left, to the last bit."""
        del clients, seed
        written = np.array(self.rows)
        W: Weights = (written + written.T) / 2
        np.fill_diagonal(W, 0.0)
        np.fill_diagonal(W, 1 - W.sum(1))
        return W


def _read(file: str) -> dict[str, tuple[tuple[float, ...], ...]]:
    """The lines of a file as numbers. Raises InputError that names the line that is none."""
    rows = []
    for number, cells in lines_of(file):
        try:
            row = tuple(map(float, cells))
        except ValueError:
            row = (math.nan,)
        if not all(0 <= weight <= 1 for weight in row):
            raise InputError(
                f"{file}, line {number}: {','.join(cells)[:60]}",
                expected="numbers from 0 to 1, with commas between them",
                fix="write a line for each client, with a number for each client",
                keys=("path",),
            )
        rows.append(row)
    return {"rows": tuple(rows)}


def _unfit(passed: str, expected: str) -> InputError:
    return InputError(
        f"a mixing matrix: {passed}",
        expected=expected,
        fix="correct it, or take another graph, whose weights are made to fit",
        keys=("rows", "path"),
    )
