"""The bank of rare features: rings, masks and retrieval."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from cxrd_models.zoo.memory import RareMemory, Weights

D = 5


def memory(rare: tuple[int, ...] = (1, 2), slots: int = 6, k: int = 3, weights: Weights = "softmax") -> RareMemory:
    return RareMemory(D, rare, slots=slots, k=k, weights=weights, tau=0.1)


def filled(weights: Weights) -> RareMemory:
    bank = memory(weights=weights)
    features = torch.randn(4, D, generator=torch.Generator().manual_seed(1))
    target = torch.tensor([[0.0, 1, 0], [0, 1, 1], [1, 0, 0], [0, 0, 1]])
    bank.write(features, target, torch.tensor([10, 11, 12, 13]))
    return bank


def one_by_one(bank: RareMemory, query: Tensor, number: int) -> Tensor:
    """Retrieve as a person would do it: a loop over the rows."""
    near = [
        (float(functional.cosine_similarity(query, row, dim=0)), row)
        for row, ok, owner in zip(bank.features, bank.valid, bank.ids, strict=True)
        if ok and int(owner) != number
    ]
    near.sort(key=lambda pair: -pair[0])
    top = near[: bank.k]
    shares = torch.tensor([s for s, _ in top])
    if bank.weights == "softmax":
        shares = (shares / bank.tau).softmax(dim=0)
    return torch.stack([share * row for share, (_, row) in zip(shares, top, strict=True)]).sum(dim=0)


@pytest.mark.parametrize("weights", ["softmax", "cosine"])
def test_retrieval_equals_a_loop_over_films(weights: Weights) -> None:
    """The vectorised retrieval gives each film what a loop gives it, its own rows left out."""
    bank = filled(weights)
    query = torch.randn(4, D, generator=torch.Generator().manual_seed(2))
    numbers = torch.tensor([10, 11, 99, 13])
    expected = torch.stack([one_by_one(bank, q, int(n)) for q, n in zip(query, numbers, strict=True)])
    torch.testing.assert_close(bank(query, numbers), expected)


def test_a_film_never_retrieves_itself() -> None:
    """With nothing but its own row in the bank, a film gets nothing."""
    bank = memory()
    feature = torch.ones(1, D)
    bank.write(feature, torch.tensor([[0.0, 1, 0]]), torch.tensor([7]))
    assert torch.equal(torch.zeros(1, D), bank(feature, torch.tensor([7])))
    torch.testing.assert_close(bank(feature), feature)


def test_an_empty_bank_answers_zero() -> None:
    """Before the first write, and for a task without rare classes, retrieval adds nothing."""
    query = torch.randn(2, D)
    assert torch.equal(torch.zeros(2, D), memory()(query))
    assert torch.equal(torch.zeros(2, D), memory(rare=())(query))


def test_a_ring_keeps_the_newest_rows_of_its_class() -> None:
    """A ring of three that sees five films keeps the last three; the other class's ring is untouched."""
    bank = memory()
    for i in range(5):
        bank.write(torch.full((1, D), float(i)), torch.tensor([[0.0, 1, 0]]), torch.tensor([i]))
    assert {2, 3, 4} == set(bank.ids[:3].tolist())
    assert bank.valid[3:].tolist() == [False] * 3


def test_more_films_than_slots_in_one_batch_fit() -> None:
    """A batch larger than the ring fills it once, with the batch's last films."""
    bank = memory()
    bank.write(torch.arange(5.0)[:, None].expand(5, D), torch.tensor([[0.0, 1, 0]] * 5), torch.arange(5))
    assert {2, 3, 4} == set(bank.ids[:3].tolist())


@pytest.mark.parametrize("slots", [0, 1])
def test_a_bank_without_a_row_for_each_ring_keeps_nothing(slots: int) -> None:
    """A memory may be left out, to see what it is good for: it answers zero, and rare films are no trouble."""
    bank = memory(slots=slots)
    bank.write(torch.ones(2, D), torch.ones(2, 3), torch.arange(2))
    assert torch.equal(bank(torch.ones(2, D), torch.arange(2)), torch.zeros(2, D))
    assert bank.snapshot().shape == (0, D)
