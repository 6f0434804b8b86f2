"""The client of the Flower simulation: it trains the module that the loop trains, in an actor of Ray.

A module of its own, because Ray's actors import it; what it caches stays with the actor between messages.
"""

from functools import cache

import torch
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from rivals import module
from snntorch_loop import Loss, train
from torch import nn
from work import Work

app = ClientApp()


@cache
def prepared(name: str, work: str) -> tuple[nn.Module, Loss, Work]:
    """Module, loss and data, loaded once in each actor."""
    loaded = Work.from_json(work)
    return *module(name, loaded), loaded


@app.train()
def reply(message: Message, context: Context) -> Message:
    """Train on the samples of the client that this node stands for."""
    config, client = message.content["config"], int(context.node_config["partition-id"])
    torch.set_num_threads(config["threads"])
    model, loss, work = prepared(config["model"], config["work"])
    model.load_state_dict(message.content["arrays"].to_torch_state_dict())
    train(model, loss, work, config["server-round"], client)
    metrics = MetricRecord({"num-examples": work.samples})
    content = {"arrays": ArrayRecord(model.state_dict()), "metrics": metrics}
    return Message(RecordDict(content), reply_to=message)
