"""The place of a simulation: this process."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

from fedspike.algorithms.trees import count_bytes
from fedspike.errors import InputError
from fedspike.federation.cohort import Work, train_cohort
from fedspike.federation.guard import is_sound
from fedspike.federation.order import Answers, Order, Reply
from fedspike.federation.packing import unpacked

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

        A client is trained when its answer comes, from what it received when it was asked. An answer that the
        guard will refuse is none of those that are enough.
        """
        began = perf_counter()
        _demand_samples(order)
        time = _time(order)
        line = list(self.arrivals(order)) if self.arrivals else sorted(time, key=time.__getitem__)
        work, replies, sound = Work(), list[Reply](), 0
        while line:
            wanted = order.enough if order.goes_on and not self.arrivals else None
            next_ones = line if wanted is None else line[: wanted - sound]
            line = line[len(next_ones) :]
            came = _replies(order, next_ones, work)
            replies += came
            if wanted is not None:
                sound += sum(
                    is_sound(order, {reply.sender: [reply.sender]}, reply) for reply in came
                )
                if sound >= wanted:
                    break
        answered = [reply.sender for reply in replies]
        now = max((time.get(client, 0.0) for client in answered), default=0.0)
        received = {client: tree for asked in order.all for client, tree in asked.received.items()}
        return Answers(
            hosts={client: (client,) for client in order.clients if client in work.replies},
            replies=replies,
            activity=work.activity,
            losses=work.losses,
            seconds={"training": perf_counter() - began},
            uplink_bytes=sum(count_bytes(reply) for reply in work.replies.values()),
            unpacked_bytes=sum(count_bytes(reply.tree) for reply in replies),
            downlink_bytes=sum(count_bytes(received[client]) for client in answered),
            memories=work.memories,
            at_work={k: max(0.0, time[k] - now) for k in time if k not in work.replies},
        )


def _replies(order: Order, clients: Sequence[int], work: Work) -> list[Reply]:
    """What these clients answer; what they did for it is added to the `work`."""
    replies, here = {}, set(clients)
    for asked in order.all:
        own = [client for client in asked.samples if client in here]
        work.add(train_cohort(asked.site, own, asked.received, asked.memories, asked.round))
        for client in own:
            samples = {client: asked.samples[client]}
            tree = unpacked(asked, samples, work.replies[client])
            replies[client] = Reply(client, asked.round, samples, tree)
    return [replies[client] for client in clients]


def _time(order: Order) -> dict[int, float]:
    """The clients that will answer, and the simulated time that each takes if that decides who is first."""
    site, decides = order.site, order.enough is not None
    devices, epochs = site.devices, site.learner.epochs
    return dict(order.needs) | {
        client: devices.training_time(site.seed, client, epochs) if decides else 0.0
        for client in order.samples
        if not devices.drops_out(site.seed, order.round, client)
    }


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
