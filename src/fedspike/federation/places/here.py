"""The place of a simulation: this process."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

from fedspike.algorithms.trees import count_bytes
from fedspike.errors import InputError
from fedspike.federation.cohort import Work, train_cohort
from fedspike.federation.order import Answers, Order, Reply

__all__ = ["Here"]  # what `import fedspike` gives


@dataclass(frozen=True)
class Here:
    """Clients are trained in this process; who drops out is drawn, and who answers first is reckoned.

    `arrivals(order)` may say instead whose answers end the round, the first one first, as they did on real
    devices: the training is the same then.
    """

    arrivals: Callable[[Order], Sequence[int]] | None = None

    def work(self, order: Order) -> Answers:
        """Train the clients that do not drop out; where the server goes on without all, those that answer.

        A client is trained when its answer comes, from what it received when it was asked.
        """
        began = perf_counter()
        _demand_samples(order)
        time = _time(order)
        answering = list(self.arrivals(order)) if self.arrivals else _line(order, time)
        now = max((time.get(client, 0.0) for client in answering), default=0.0)
        work, asked_in, downlink = Work(), dict[int, Order](), 0
        for asked in order.all:
            clients = [client for client in asked.samples if client in set(answering)]
            asked_in |= dict.fromkeys(clients, asked)
            downlink += sum(count_bytes(asked.received[client]) for client in clients)
            work.add(train_cohort(asked.site, clients, asked.received, asked.memories, asked.round))
        return Answers(
            hosts={client: (client,) for client in asked_in},
            replies=[
                Reply(k, asked_in[k].round, {k: asked_in[k].samples[k]}, work.replies[k])
                for k in answering
            ],
            activity=work.activity,
            losses=work.losses,
            seconds={"training": perf_counter() - began},
            uplink_bytes=sum(count_bytes(reply) for reply in work.replies.values()),
            downlink_bytes=downlink,
            memories=work.memories,
            at_work={k: max(0.0, time[k] - now) for k in time if k not in asked_in},
        )


def _time(order: Order) -> dict[int, float]:
    """The clients that will answer, and the simulated time that each takes if that decides who is first."""
    site, decides = order.site, order.enough is not None
    devices, epochs = site.devices, site.learner.epochs
    return dict(order.needs) | {
        client: devices.training_time(site.seed, client, epochs) if decides else 0.0
        for client in order.samples
        if not devices.drops_out(site.seed, order.round, client)
    }


def _line(order: Order, time: dict[int, float]) -> list[int]:
    """The clients whose answers come in this round, the first one first."""
    line = sorted(time, key=lambda client: time[client])
    return line[: order.enough] if order.goes_on else line


def _demand_samples(order: Order) -> None:
    """Raise InputError where a client holds a sample that the data set does not have."""
    devices = order.site.devices
    last = max(int(devices.shards[client].max()) for client in devices.members)
    if last >= len(order.site.samples[1]):
        raise InputError(
            f"a fleet that holds sample number {last} of a data set of {len(order.site.samples[1])} samples",
            expected="shards made from this data set's labels",
            fix="make the partition again from dataset.y_train",
        )
