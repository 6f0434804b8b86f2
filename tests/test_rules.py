import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedspike.rules.mean import weighted_mean


def draw(clients: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    stacked = torch.randn(clients, 3, 4, generator=generator)
    return stacked, torch.randint(1, 1000, (clients,), generator=generator)


cohorts = st.builds(draw, st.integers(1, 20), st.integers(0, 2**31))


@given(cohorts, st.randoms())
def test_the_order_of_clients_does_not_matter(
    cohort: tuple[torch.Tensor, torch.Tensor], random: object
) -> None:
    """Summed in float64, so the float32 result differs by its last bit at most."""
    stacked, weights = cohort
    order = list(range(len(weights)))
    random.shuffle(order)  # type: ignore[attr-defined]
    torch.testing.assert_close(
        weighted_mean({"w": stacked[order]}, weights[order])["w"],
        weighted_mean({"w": stacked}, weights)["w"],
        rtol=2e-7,
        atol=1e-12,
    )


@given(cohorts)
def test_it_is_the_weighted_sum_written_out(cohort: tuple[torch.Tensor, torch.Tensor]) -> None:
    stacked, weights = cohort
    total = sum(int(n) for n in weights)
    expected = sum(
        (int(n) / total * u.double() for n, u in zip(weights, stacked, strict=True)),
        start=torch.zeros(3, 4, dtype=torch.float64),
    )
    torch.testing.assert_close(weighted_mean({"w": stacked}, weights)["w"], expected.float())


@given(cohorts)
def test_one_client_is_exact_and_equal_updates_are_a_fixed_point(
    cohort: tuple[torch.Tensor, torch.Tensor],
) -> None:
    stacked, weights = cohort
    assert torch.equal(weighted_mean({"w": stacked[:1]}, weights[:1])["w"], stacked[0])
    same = stacked[:1].expand_as(stacked)
    assert torch.equal(weighted_mean({"w": same}, weights)["w"], stacked[0])


@given(cohorts)
def test_it_stays_within_the_clients(cohort: tuple[torch.Tensor, torch.Tensor]) -> None:
    stacked, weights = cohort
    mean = weighted_mean({"w": stacked}, weights)["w"]
    assert bool((mean <= stacked.amax(0) + 1e-6).all())
    assert bool((mean >= stacked.amin(0) - 1e-6).all())


def test_weights_count() -> None:
    updates = {"w": torch.tensor([[0.0], [4.0]])}
    assert weighted_mean(updates, torch.tensor([1, 3]))["w"].item() == pytest.approx(3.0)
