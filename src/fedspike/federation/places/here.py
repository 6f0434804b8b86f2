"""The place of a simulation: this process."""

from time import perf_counter

from fedspike.algorithms.trees import count_bytes
from fedspike.errors import InputError
from fedspike.federation.cohort import train_cohort
from fedspike.federation.order import Answers, Order, Reply

__all__ = ["Here"]  # what `import fedspike` gives


class Here:
    """Clients are trained in this process; who drops out is drawn."""

    def work(self, order: Order) -> Answers:
        """Train the clients of the cohort that do not drop out."""
        began = perf_counter()
        site, devices = order.site, order.site.devices
        last = max(int(shard.max()) for shard in devices.shards)
        if last >= len(site.samples[1]):
            raise InputError(
                f"a fleet that holds sample number {last} of a data set of {len(site.samples[1])} samples",
                expected="shards made from this data set's labels",
                fix="make the partition again from dataset.y_train",
            )
        present = [k for k in order.samples if not devices.drops_out(site.seed, order.round, k)]
        work = train_cohort(site, present, order.received, order.memories, order.round)
        sizes = order.samples
        return Answers(
            hosts={client: (client,) for client in present},
            replies=[Reply(k, order.round, {k: sizes[k]}, work.replies[k]) for k in present],
            activity=work.activity,
            losses=work.losses,
            seconds={"training": perf_counter() - began},
            uplink_bytes=sum(count_bytes(reply) for reply in work.replies.values()),
            downlink_bytes=sum(count_bytes(order.received[client]) for client in present),
            memories=work.memories,
        )
