"""A backbone that sees a film at several sizes and keeps several blocks' maps: what it keeps, and what it refuses."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from cxrd_models.errors import RecipeError
from cxrd_models.zoo.mobilenet import MobileNetV2Features, outputs
from cxrd_models.zoo.pyramid import MobileNetV2Pyramid


@pytest.fixture
def film() -> Tensor:
    """Two films of 128 x 64 pixels."""
    return torch.rand(2, 3, 128, 64, generator=torch.Generator().manual_seed(4)) * 2 - 1


def plain(like: MobileNetV2Features) -> MobileNetV2Features:
    """The published network with the same weights."""
    made = MobileNetV2Features().eval()
    made.load_state_dict(like.state_dict())
    return made


def test_one_level_of_the_last_block_is_the_published_network(film: Tensor) -> None:
    """To the bit, in what it says and in what it learns: recipes of the one made the packages of the other."""
    model = MobileNetV2Pyramid((18,), (1,)).eval()
    published = plain(model)
    assert model.channels == 1280
    film = film[:, :, :64].contiguous(memory_format=torch.channels_last)  # as the trainer keeps films and models
    for net in (model, published):
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch knows it, its stubs do not
        net(film).mean(dim=(2, 3)).square().sum().backward()
    assert torch.equal(model(film), published(film))
    assert type(model(film).grad_fn) is type(published(film).grad_fn)  # no join between, whose gradient may round
    for learnt, known in zip(model.parameters(), published.parameters(), strict=True):
        assert learnt.grad is not None
        assert known.grad is not None
        assert torch.equal(learnt.grad, known.grad)


@torch.inference_mode()
def test_each_part_of_a_column_is_one_blocks_map_of_one_size_of_the_film(film: Tensor) -> None:
    """In the order of levels, then of blocks; on the grid of the largest film, with the mean of the map itself."""
    model = MobileNetV2Pyramid((0, 5, 9, 15, 17, 18), (1, 2)).eval()
    published, made = plain(model), outputs()
    parts = model(film).split(model.widths, dim=1)
    assert model.channels == sum(model.widths) == model(film).shape[1]
    expected: list[Tensor] = []
    for shown in (film, torch.nn.functional.avg_pool2d(film, 2)):
        x = shown
        for number, block in enumerate(published.features):
            x = block(x)
            assert (x.shape[1], shown.shape[-1] // x.shape[-1]) == made[number]
            if number in (0, 5, 9, 15, 17, 18):
                expected.append(x)
    assert len(parts) == len(expected) == 12
    for part, whole in zip(parts, expected, strict=True):
        assert part.shape[2:] == (4, 2)
        torch.testing.assert_close(part.mean(dim=(2, 3)), whole.mean(dim=(2, 3)))
    torch.testing.assert_close(parts[5], expected[5])  # the last block of the largest film is on its own grid
    assert float((parts[5] - parts[11]).abs().max()) > 0


@torch.inference_mode()
def test_the_bar_learns_from_the_smallest_film(film: Tensor) -> None:
    """Published weights were made for small pictures."""
    model = MobileNetV2Pyramid((12, 18), (1, 2)).eval()
    smaller = torch.nn.functional.avg_pool2d(film, 2)
    torch.testing.assert_close(model.pooled(film), plain(model)(smaller).mean(dim=(2, 3)))


@pytest.mark.parametrize("blocks", [(), (12,), (-1, 18), (18, 12), (12, 12, 18), (12, 18, 19)])
def test_blocks_that_are_none_are_refused(blocks: tuple[int, ...]) -> None:
    """By their numbers."""
    with pytest.raises(RecipeError, match="are none") as told:
        MobileNetV2Pyramid(blocks, (1,))
    assert "0..18" in str(told.value.hint)


@pytest.mark.parametrize("levels", [(), (2,), (2, 1), (1, 1), (0, 1)])
def test_levels_that_are_none_are_refused(levels: tuple[int, ...]) -> None:
    """The largest film is the film."""
    with pytest.raises(RecipeError, match="are none") as told:
        MobileNetV2Pyramid((18,), levels)
    assert "the first one 1" in str(told.value.hint)
