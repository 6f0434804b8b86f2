"""What a federated algorithm is: a record of pure functions over named groups of tensors.

A round, in the simulator, in the reference loop and on real devices alike:

    received         = send(server)
    each client:       gradients = correct(gradients, parameters, received, memory)  before every step
                       reply, memory = answer(received, trained, memory, steps, learning_rate)
    server           = aggregate(server, replies, weights, participation)

On the clients' side every tensor carries the clients as first axis; what is `received` is the same for all
and carries an axis of length 1 there, so that plain arithmetic broadcasts.
"""

from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Int64
from torch import Tensor

from fedspike.networks import Parameters

Tree = dict[str, Parameters]
"""Named groups of parameter-like tensors, such as {"model": ..., "control": ...}."""


@dataclass(frozen=True)
class Algorithm:
    """A federated algorithm; `algorithms.fedavg` is the smallest example.

    - `start_server(model)`: the server's state before round 1; its group "model" is the global model.
    - `start_client(model)`: what one client remembers before its first round, no client axis; {} for nothing.
    - `send(server)`: what every client of the cohort receives; it has a group "model".
    - `correct(gradients, parameters, received, memory)`: the gradients that the local optimiser uses.
    - `answer(received, trained, memory, steps, learning_rate)`: what each client sends back, its group
      "update" being trained minus received, and what it remembers. `steps[client]` counts local steps.
    - `aggregate(server, replies, weights, participation)`: the next server state; `weights[client]` are
      numbers of samples, `participation` is the share of all clients that took part.
    - `combine(replies, samples, clients)`: one reply in the place of many, no client axis, which a node that
      hosts many clients sends; `replies[i]` stands for `clients[i]` clients with `samples[i]` samples.
      Combined replies may be combined again, and aggregating the last one is aggregating them all.
    - `needs_sgd`: whether its mathematics holds for plain SGD on the clients only.
    """

    name: str
    start_server: Callable[[Parameters], Tree]
    start_client: Callable[[Parameters], Tree]
    send: Callable[[Tree], Tree]
    correct: Callable[[Parameters, Parameters, Tree, Tree], Parameters]
    answer: Callable[[Tree, Parameters, Tree, Int64[Tensor, " client"], float], tuple[Tree, Tree]]
    aggregate: Callable[[Tree, Tree, Int64[Tensor, " client"], float], Tree]
    combine: Callable[[Tree, Int64[Tensor, " reply"], Int64[Tensor, " reply"]], Tree]
    needs_sgd: bool = False


def difference(a: Parameters, b: Parameters) -> Parameters:
    """a - b, tensor by tensor."""
    return {name: a[name] - b[name] for name in a}
