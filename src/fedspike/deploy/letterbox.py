"""What a node may hand in at the server: an answer of its own to what it was asked, in few parts.

Flower makes sure that a request is signed by the node that it names. What the message in it says of its
sender, of what it answers and of its parts is looked at here, before Flower stores any of it: a node could
otherwise give the others orders in the server's name, answer for them, or fill the server's disk.
"""

import math
from itertools import islice

from flwr.common.constant import SUPERLINK_NODE_ID
from flwr.proto.fleet_pb2 import PushMessagesRequest, PushMessagesResponse
from flwr.server.superlink.linkstate import LinkState
from flwr.supercore.inflatable.inflatable_object import iterate_object_tree
from flwr.superlink.servicer.fleet import fleet_handlers
from starlette.exceptions import HTTPException

MOST_PARTS = 3  # of an answer: Flower's message, its content, and our record in it
MOST_BYTES = (
    2**28
)  # of a request, and of all parts together; the founding network's tensors are 0.3 MB
MOST_TOLD = 2**16  # bytes of what is said of an answer, or of an error in its place
TOO_MANY_PARTS = "an answer in more parts than any has"
LATEST_S = 1e10  # since 1970, in the year 2286


def fault(request: PushMessagesRequest) -> str:
    """What is wrong with what a node hands in; empty if it may be stored. Its parts come later."""
    if request.ByteSize() > MOST_TOLD:
        return "an answer of which too much is said"
    if not len(request.messages_list) == len(request.message_object_trees) == 1:
        return "not one answer"
    told, tree = request.messages_list[0].metadata, request.message_object_trees[0]
    if told.src_node_id != request.node.node_id:
        return "an answer of another node"
    if told.dst_node_id != SUPERLINK_NODE_ID or not told.reply_to_message_id:
        return "an answer to nothing"
    if tree.object_id != told.message_id:
        return "the parts of something else"
    if len(list(islice(iterate_object_tree(tree), MOST_PARTS + 1))) > MOST_PARTS:
        return TOO_MANY_PARTS
    times = (told.created_at, told.ttl, *request.clientapp_runtime_list)
    if not all(math.isfinite(each) and abs(each) < LATEST_S for each in times):
        return "times that are none"
    return "" if told.ttl > 0 else "an answer that comes too late"


def watch() -> None:
    """From now on, this process's Flower stores answers only that have no fault."""
    store = fleet_handlers.push_messages

    def push_messages(request: PushMessagesRequest, state: LinkState) -> PushMessagesResponse:
        if wrong := fault(request):
            raise HTTPException(400, wrong)
        return store(request=request, state=state)

    fleet_handlers.push_messages = push_messages
