"""What annotations promise is really checked in the tests: types, shapes, sizes of one name."""

from dataclasses import dataclass

import pytest
import torch
from beartype.roar import BeartypeCallHintViolation
from jaxtyping import Float
from torch import Tensor

from checking import checked
from fedspike.parts.losses import CrossEntropy


@checked
def scaled(x: Float[Tensor, "row column"], by: Float[Tensor, " column"]) -> Float[Tensor, "row 2"]:
    return x * by


@checked
@dataclass(frozen=True)
class Pair:
    one: Float[Tensor, " sample"]
    other: Float[Tensor, " sample"]


def test_sizes_of_one_name_agree_among_arguments_answer_and_fields() -> None:
    assert scaled(torch.ones(3, 2), torch.ones(2)).shape == (3, 2)
    assert Pair(torch.ones(3), torch.ones(3)).one.shape == (3,)
    for wrong in (
        lambda: scaled(torch.ones(3, 2), torch.ones(1)),
        lambda: scaled(torch.ones(3, 1), torch.ones(1)),  # its answer has one column
        lambda: scaled(torch.ones(3, 2), torch.ones(2, dtype=torch.long)),
        lambda: Pair(torch.ones(3), torch.ones(4)),
    ):
        with pytest.raises(BeartypeCallHintViolation):
            wrong()


class Row:
    @checked
    def longer(self, other: "Row") -> "Row":
        return other

    @classmethod
    @checked
    def made_of(cls, values: Float[Tensor, " column"], more: Float[Tensor, " column"]) -> "Row":
        return cls() if (values == more).all() else cls.longer(cls(), cls())


def test_a_method_is_checked_that_names_its_own_class() -> None:
    one = Row.made_of(torch.ones(2), torch.ones(2))
    assert one.longer(one) is one
    with pytest.raises(BeartypeCallHintViolation):
        one.longer("other")
    with pytest.raises(BeartypeCallHintViolation):
        Row.made_of(torch.ones(2), torch.ones(1))


def test_the_package_is_checked() -> None:
    scores, labels, present = torch.zeros(1, 2, 3), torch.tensor([[0, 1]]), torch.tensor([[True]])
    with pytest.raises(BeartypeCallHintViolation):  # would be broadcast over the batch
        CrossEntropy()(scores, labels, present, time_steps=1)
    with pytest.raises(BeartypeCallHintViolation):
        CrossEntropy()(scores, labels, present.expand(1, 2), time_steps="1")  # type: ignore[arg-type]
