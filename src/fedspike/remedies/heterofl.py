"""HeteroFL: devices with little memory train a narrower network, the leading units of every hidden layer.

    client k holds the first ceil(r_k H) of the H neurons (channels) of each hidden layer
    w_i <- the rule over the clients that hold the number w_i; what nobody holds stays

Source: Diao, Ding, Tarokh, "HeteroFL: Computation and Communication Efficient Federated Learning for
Heterogeneous Clients", ICLR 2021. Its scaler multiplies what leaves a hidden layer by 1/r. Here the 1/r
stands where that enters the next layer, before its weights: with ReLU this is the same function of the same
parameters, and a spike has one height only. The paper's static batch normalisation is not here.
"""

from typing import Annotated, ClassVar

from msgspec import Meta

from fedspike.algorithms import Algorithm, Narrowed, layers
from fedspike.errors import InputError
from fedspike.part import is_kind
from fedspike.remedies.by_client import ByClient

Width = Annotated[float, Meta(gt=0, le=1)]


class HeteroFL(ByClient, tag="heterofl"):
    """Client k trains the share r = `widths[k mod n]` of each hidden layer, the leading units.

    Where devices have a `fleet.memory_kb`, each trains the widest of these that fits. Where all have width 1
    it is the algorithm.
    """

    widths: Annotated[
        tuple[Width, ...],
        Meta(min_length=1, max_length=10**6, description="r, in turn for clients 0, 1, 2, ..."),
    ] = (1.0, 0.5, 0.25, 0.125, 0.0625)
    scaler: Annotated[
        bool, Meta(description="what enters from a narrowed layer counts 1/r in training")
    ] = True

    listed: ClassVar[str] = "widths"
    rolling: ClassVar[bool] = False

    def over(self, algorithm: Algorithm) -> Algorithm:
        """Raises InputError over another remedy that narrows.

        Where a window rolls, too, where answers come late.
        """
        if any(isinstance(one, Narrowed) for one in layers(algorithm)):
            raise InputError(
                f"{self.kind} over an algorithm that is narrowed already",
                expected="one remedy that narrows",
                fix="leave one of them out",
            )
        for rule in algorithm.joining().values():
            if not rule.by_number:
                what = f"the rule {rule.kind}" if is_kind(type(rule)) else algorithm.kind
                raise InputError(
                    f"{self.kind} with {what}, which joins whole neurons",
                    expected="an algorithm and a rule that join each number on its own",
                    fix='set algorithm.kind = "fedavg" and rule.kind = "mean"',
                    keys=("algorithm", "rule"),
                )
        if self.rolling and algorithm.waits_for is not None:
            raise InputError(
                f"{self.kind} with {algorithm.kind}",
                expected="an algorithm that waits for all, since each round has another window",
                fix='take [[remedies]] kind = "heterofl", or algorithm.kind = "fedavg"',
                keys=("algorithm",),
            )
        rolling = self.rolling and min(self.widths) < 1
        return Narrowed(algorithm, self.widths, self.scaler, rolling)
