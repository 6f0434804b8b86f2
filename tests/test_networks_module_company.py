"""Own modules that remember, or look at the company, though silent; and the words for what else is wrong."""

import logging
from collections.abc import Callable
from typing import Any

import pytest
import snntorch
import torch
from torch import Tensor, nn

from fedspike.errors import InputError, warn_once
from fedspike.networks import ModuleNetwork
from fedspike.parts.codes import Rate
from fedspike.parts.read_outs import MeanMembrane

INPUTS, CLASSES, STEPS = 12, 10, 4
Change = Callable[["Spiking", Tensor], Tensor]


class Spiking(nn.Module):
    """One layer of LIF neurons with weights so small, or so large, and something done to its currents."""

    def __init__(self, size: float, change: Change) -> None:
        super().__init__()
        self.layer, self.neuron = nn.Linear(INPUTS, CLASSES), snntorch.Leaky(beta=0.9)
        self.change, self.calls = change, 0
        self.average, self.left = torch.zeros(CLASSES), torch.zeros(0)
        with torch.no_grad():
            nn.init.zeros_(self.layer.bias)
            self.layer.weight.mul_(size)

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        membrane, spikes = self.neuron.reset_mem(), []
        for now in x:
            fired, membrane = self.neuron(self.change(self, self.layer(now)), membrane)
            spikes.append(fired)
        self.left = membrane.detach()
        return torch.stack(spikes)


def averaged(module: Spiking, currents: Tensor) -> Tensor:
    module.average = 0.9 * module.average + 0.1 * currents.detach().mean(0)
    return currents - module.average


def never_reset(module: Spiking, currents: Tensor) -> Tensor:
    return currents + module.left if module.left.shape == currents.shape else currents


CHANGES: dict[str, tuple[Change, str]] = {
    "counter": (lambda module, c: c * (1 + 0.1 * module.calls), "what it was shown before"),
    "average": (averaged, "what it was shown before"),
    "never reset": (never_reset, "what it was shown before"),
    "mean": (lambda _, c: c - c.mean(0), "others in its batch"),
    "detached mean": (lambda _, c: c - c.detach().mean(0), "others in its batch"),
    "softmax": (lambda _, c: 3 * c.softmax(0), "others in its batch"),
    "neighbour": (lambda _, c: c + 0.1 * c.roll(1, 0), "others in its batch"),
    "the first": (lambda _, c: torch.cat([2 * c[:1], c[1:]]), "others in its batch"),
}


def spiking(module: nn.Module) -> ModuleNetwork:
    return ModuleNetwork(module, (INPUTS,), CLASSES, code=Rate(), time_steps=STEPS)


@pytest.mark.parametrize("size", [0.01, 1.0, 5.0], ids=["silent", "usual", "loud"])
@pytest.mark.parametrize("kind", CHANGES)
def test_spikes_do_not_hide_memory_and_company(kind: str, size: float) -> None:
    change, message = CHANGES[kind]
    with pytest.raises(InputError, match=message):
        spiking(Spiking(size, change))


@pytest.mark.parametrize("size", [0.01, 1.0, 5.0, 1e3])
def test_what_hangs_on_the_sample_alone_is_welcome(size: float) -> None:
    for change in (lambda _, c: c, lambda _, c: c.softmax(1), lambda _, c: c - c.mean(1, True)):
        network = spiking(Spiking(size, change))
        assert network.architecture.names == ("layer",)


def test_a_module_of_float32_alone_is_tried_in_it() -> None:
    """It refuses float64, so what it remembers is looked for in float32."""

    def narrow(_: Spiking, currents: Tensor) -> Tensor:
        return currents

    def counting(module: Spiking, currents: Tensor) -> Tensor:
        return currents * (1 + 0.1 * module.calls)

    for change in (narrow, counting):
        module = Spiking(0.01, change)
        module.layer.register_forward_pre_hook(lambda _, given: (given[0].float(),))
        if change is narrow:
            spiking(module)
            continue
        with pytest.raises(InputError, match="what it was shown before"):
            spiking(module)


class Plain(nn.Module):
    """A layer, and what is made of its input and its scores."""

    def __init__(self, ends: Callable[[Tensor], Any], begins: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.layer, self.ends, self.begins = nn.Linear(INPUTS, CLASSES), ends, begins

    def forward(self, x: Tensor) -> Any:
        return self.ends(self.layer(self.begins(x)))


def plain(
    ends: Callable[[Tensor], Any] = lambda x: x, begins: Callable[[Tensor], Tensor] = lambda x: x
) -> Plain:
    return Plain(ends, begins)


def raising(x: Tensor) -> Tensor:
    raise ValueError(f"boom {x.dim()}")


def with_nan() -> nn.Module:
    module = plain()
    module.layer.weight.data[0, 0] = torch.nan
    return module


def tied() -> nn.Module:
    one, two = nn.Linear(INPUTS, INPUTS), nn.Linear(INPUTS, INPUTS)
    two.weight = one.weight
    return nn.Sequential(one, nn.ReLU(), two, nn.ReLU(), nn.Linear(INPUTS, CLASSES))


WORDS: dict[str, tuple[Callable[[], nn.Module], list[str]]] = {
    "in place": (lambda: plain(begins=lambda x: x.mul_(2)), ["changes its input", "x = x * 2"]),
    "NaN": (with_nan, ["layer.weight", "not real and finite", "nan_to_num_"]),
    "NaN made": (lambda: plain(lambda x: x * 0 / 0), ["makes NaN", "1e-6"]),
    "lazy": (lambda: nn.LazyLinear(CLASSES), ["weight has no numbers yet", "torch.zeros(1"]),
    "meta": (lambda: nn.Linear(INPUTS, CLASSES, device="meta"), ["no numbers yet", "to_empty"]),
    "complex": (
        lambda: nn.Linear(INPUTS, CLASSES, dtype=torch.complex64),
        ["weight, torch.complex64"],
    ),
    "None": (lambda: plain(lambda _: None), ["answers with a NoneType", "return scores"]),
    "dict": (lambda: plain(lambda x: {"scores": x}), ["answers with a dict", 'answer["scores"]']),
    "tuple": (lambda: plain(lambda x: (None, x)), ["answers with a tuple", "a tensor"]),
    "shape": (lambda: plain(lambda x: x[:, 1:]), ["makes [2, 9]", "10 outputs of the last layer"]),
    "no parameter": (nn.Identity, ["without a parameter", "nn.Linear"]),
    "chance": (lambda: plain(nn.functional.dropout), ["draws random numbers", "self.training"]),
    "raises": (lambda: plain(raising), ["ValueError in test_networks_module_company.py, line "]),
    "tied": (tied, ["0 (one parameter as 0.weight and 2.weight)", "not_counted="]),
}


@pytest.mark.parametrize("kind", WORDS)
def test_what_is_wrong_has_its_own_words(kind: str) -> None:
    made, words = WORDS[kind]
    with pytest.raises(InputError) as raised:
        ModuleNetwork(made(), (INPUTS,), CLASSES)
    assert [word for word in words if word not in str(raised.value)] == [], str(raised.value)


def test_membranes_that_are_not_there_are_named() -> None:
    module = nn.Sequential(nn.Linear(INPUTS, CLASSES))
    module.forward = lambda x: (x,)  # type: ignore[method-assign]
    with pytest.raises(InputError, match="answers with a tuple\n  expected: membranes"):
        ModuleNetwork(
            module, (INPUTS,), CLASSES, code=Rate(), time_steps=STEPS, read_out=MeanMembrane()
        )


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_another_type_is_said_and_learned_in_float32(
    dtype: torch.dtype, caplog: pytest.LogCaptureFixture
) -> None:
    warn_once.cache_clear()
    with caplog.at_level(logging.WARNING, logger="fedspike"):
        network = ModuleNetwork(plain().to(dtype), (INPUTS,), CLASSES)
    said = [r.message for r in caplog.records if "float32" in r.message]
    assert said == [f"a Plain with parameters of {dtype}: they begin, and are learned, in float32"]
    assert network.trial.vectorised
