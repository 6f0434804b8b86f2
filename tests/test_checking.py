"""What annotations promise is really checked: types, shapes, sizes of one name.

Of the package in a process of its own, in rounds of each kind of network; `make shapes` has all tests so.
"""

import os
import subprocess
import sys
from dataclasses import dataclass

import pytest
import torch
from beartype.roar import BeartypeCallHintViolation
from jaxtyping import Float
from torch import Tensor

from checking import checked

WRONG = """
from checking import check
check("fedspike")
import torch
from fedspike.parts.losses import CrossEntropy
scores, labels, present = torch.zeros(1, 2, 3), torch.tensor([[0, 1]]), torch.tensor([[True]])
CrossEntropy()(scores, labels, present{}, time_steps={})
"""


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


def ran(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words], env=os.environ | environment, capture_output=True, text=True
    )


# What is present would be broadcast over the batch.
@pytest.mark.thorough
@pytest.mark.parametrize(("present", "steps"), [("", "1"), (".expand(1, 2)", "'1'")])
def test_the_package_is_checked(present: str, steps: str) -> None:
    assert "BeartypeCall" in ran("-c", WRONG.format(present, steps), PYTHONPATH="tests").stderr


@pytest.mark.thorough
def test_annotations_hold() -> None:
    few = ("tests/test_combinations.py", "-k", "fedavg or scaffold")
    alone = ("-n", "0", "-p", "no:cacheprovider")
    done = ran("-m", "pytest", *few, *alone, FEDSPIKE_SHAPES="1")
    assert done.returncode == 0, done.stdout[-3000:]
