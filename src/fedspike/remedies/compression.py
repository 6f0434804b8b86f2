"""Updates that are packed into fewer bytes before a client sends them.

    p_k <- u_k + e_k                what client k has not sent yet, and its new update
    sent: bytes of C(p_k)           by the kind's compression C
    e_k <- p_k - C(p_k)             error feedback: what C left out is sent in a later round

Without a memory (a kind that is right on average, or leaves out nothing) e_k is 0.

The design. An algorithm answers with dense tensors. Each client packs its own reply (`Algorithm.packed`), and
only that travels: the whole group "update" is one row of bytes, of which `Round.uplink_bytes`
is the length, and with it the radio's bill. Where it arrives, before the guard looks at numbers and before
any rule joins them, the place unpacks it (`federation/packing.py`); what is malformed is refused there as
"not readable". So rules, guard and algorithms know dense tensors only. Rows of several clients can be of
different lengths and cannot be added up, so a node that hosts many clients sends each one's on its own
(`rules/each.py`): what is joined is the same to the bit wherever clients live. A client whose numbers are not
finite, or beyond what a guard accepts, sends no bytes, which become numbers that the guard refuses. Groups
beside "update", such as the control variates of SCAFFOLD, are sent as they are, and so is all that a server
sends.

Source of the memory: Stich, Cordonnier, Jaggi, "Sparsified SGD with Memory", NeurIPS 2018, Algorithm 1;
Karimireddy, Rebjock, Stich, Jaggi, "Error Feedback Fixes SignSGD and other Gradient Compression Schemes",
ICML 2019, Algorithm 2. There p is of one step of SGD; that it may be of several local steps is in Basu, Data,
Karakus, Diggavi, "Qsparse-local-SGD: Distributed SGD with Quantization, Sparsification, and Local
Computations", NeurIPS 2019, Algorithm 1. A client forgets nothing in rounds in which it is not asked,
and where the server did not take its answer it has the e_k of before.
"""

import math
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from msgspec.structs import replace

from fedspike.algorithms import (
    Algorithm,
    Changed,
    Client,
    LocalModel,
    Tree,
    added,
    layers,
    reply_form,
)
from fedspike.errors import InputError
from fedspike.networks import Parameters, SizedNetwork
from fedspike.part import abstractmethod
from fedspike.randomness import stream
from fedspike.remedies.content import malformed
from fedspike.remedies.remedy import UPDATE, Remedy, demand_update
from fedspike.rules import Each, Rule

BYTES = "bytes"
UNSENT = "unsent"  # group of a client's memory: e_k


class Compression(Remedy):
    """A remedy that packs updates; `remembers` says whether what it leaves out is sent later."""

    remembers: ClassVar[bool] = True

    def over(self, algorithm: Algorithm) -> Algorithm:
        """Raises InputError where there is no group "update", or it is packed already."""
        demand_update(algorithm, self.kind)
        if any(isinstance(one, Compressed) for one in layers(algorithm)):
            raise InputError(
                f"{self.kind} over an algorithm whose updates are packed already",
                expected="one remedy that packs them",
                fix="leave one of them out",
            )
        return Compressed(algorithm, self)

    def demand(self, model: Parameters) -> None:
        """Raise InputError where updates of such a model cannot be packed so."""
        del model

    @abstractmethod
    def packed(self, update: Parameters, draws: np.random.Generator) -> bytes:
        """C(p) of an update of finite numbers, tensors in the order of their names; at least a byte."""

    @abstractmethod
    def unpacked(self, content: bytes, form: Parameters) -> Parameters:
        """C(p) again, in this form. Raises InputError where the bytes are not what a client packs."""


class Compressed(Changed):
    """An algorithm whose updates travel packed."""

    compression: Compression

    @property
    def takes_back(self) -> bool:
        """What the server did not take a client has not sent."""
        return self.compression.remembers or self.algorithm.takes_back

    @property
    def models_remembered(self) -> int:
        """As the algorithm, and what is not sent yet."""
        return self.algorithm.models_remembered + self.compression.remembers

    def fitted(self, network: SizedNetwork) -> Algorithm:
        """Raises InputError where the network's updates cannot be packed so."""
        self.compression.demand(network.init(stream(0, "init")))
        return replace(self, algorithm=self.algorithm.fitted(network))

    def joining(self) -> Mapping[str, Rule]:
        """As the algorithm, with each client's update apart."""
        rules = self.algorithm.joining()
        return {**rules, UPDATE: Each(rules[UPDATE])}

    def remember(self, received: Tree) -> Tree:
        """What is not sent yet, 0."""
        memory = self.algorithm.remember(received)
        if not self.compression.remembers:
            return memory
        form = reply_form(self.algorithm, received)[UPDATE]
        return memory | {UNSENT: {n: torch.zeros(t.shape, dtype=t.dtype) for n, t in form.items()}}

    def answer(self, client: Client, trained: LocalModel) -> tuple[Tree, Tree]:
        """As the algorithm; what is not sent yet is there for the packing."""
        reply, memory = self.algorithm.answer(client, trained)
        unsent = {UNSENT: client.memory[UNSENT]} if self.compression.remembers else {}
        return reply, memory | unsent

    def packed(self, reply: Tree, memory: Tree, draws: np.random.Generator) -> tuple[Tree, Tree]:
        """The equations; the algorithm hears what is sent, as the server will."""
        p, remembers = reply[UPDATE], self.compression.remembers
        if remembers:
            p = added(p, memory[UNSENT])
        content, sent = b"", p
        if all(map(_is_sound, p.values())):
            content = self.compression.packed(_by_name(p), draws)
            sent = self.compression.unpacked(content, _by_name(p))
            if remembers:
                memory = memory | {UNSENT: added(p, sent, -1.0)}
        reply, memory = self.algorithm.packed(reply | {UPDATE: sent}, memory, draws)
        row = torch.from_numpy(np.frombuffer(bytearray(content), np.uint8))
        return reply | {UPDATE: {BYTES: row}}, memory

    def unpacked(self, reply: Tree, form: Tree) -> Tree:
        """Raises InputError for what is no row of bytes, or not what a client packs."""
        if UPDATE not in reply:  # then the guard says so
            return reply
        row = reply[UPDATE].get(BYTES)
        if len(reply[UPDATE]) != 1 or row is None or row.dtype != torch.uint8 or row.dim() != 1:
            malformed("something else than one row of bytes")
        if len(row):
            with np.errstate(all="ignore"):  # what becomes of a stranger's numbers is for the guard
                update = self.compression.unpacked(row.numpy().tobytes(), _by_name(form[UPDATE]))
        else:
            update = {
                n: torch.full(t.shape, torch.nan, dtype=t.dtype) for n, t in form[UPDATE].items()
            }
        return self.algorithm.unpacked(reply | {UPDATE: update}, form)


def _by_name(update: Parameters) -> Parameters:
    """The tensors in one order, whatever order they came in."""
    return dict(sorted(update.items()))


def _is_sound(numbers: torch.Tensor) -> bool:
    """Whether the guard of a server would take them."""
    most = math.sqrt(torch.finfo(numbers.dtype).max)
    return bool((numbers.abs() <= most).all())  # nan is not
