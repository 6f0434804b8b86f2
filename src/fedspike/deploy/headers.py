"""The HTTP headers of our own, beside Flower's: who asks, and whose answer it is."""

from dataclasses import dataclass

import httpx
from flwr.supercore.protobuf.client import ProtobufCall, ProtobufRequestContext

TOKEN_HEADER = "fedspike-token"  # the owner's token, for what is the owner's alone
NODE_HEADER = "fedspike-node"  # how a node is called; to the owner, who may let its key in
DOOR_HEADER = "fedspike-door"  # on what our door answers, and not Flower behind it


@dataclass(frozen=True)
class Header:
    """One that each request of a client has."""

    name: str
    value: str

    def intercept(self, context: ProtobufRequestContext, call_next: ProtobufCall) -> httpx.Response:
        """As one of Flower's interceptors."""
        context.request.headers[self.name] = self.value
        return call_next(context)
