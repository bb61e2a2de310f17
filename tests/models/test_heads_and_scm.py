"""Maps without gradients equal those with; diffusion does what its equations say."""

from __future__ import annotations

import pytest
import torch

from cxrd_models.zoo.heads import Activation, MlpHead
from cxrd_models.zoo.hybrid_lung_vit import HybridLungVit, overlap, pool
from cxrd_models.zoo.scm import Diffusion, couplings, landweber, newton_schulz, safe_step
from support.architectures import films, judge, make


@pytest.mark.parametrize("activation", ["gelu", "relu"])
def test_the_closed_form_is_the_gradient(activation: Activation) -> None:
    """Equal to autograd (Grad-CAM needs no backward pass)."""
    torch.manual_seed(0)
    head = MlpHead(12, 16, 3, activation=activation, dropout_in=0.3, dropout=0.2).eval()
    z = torch.randn(4, 12, requires_grad=True)
    logits = head(z)
    wanted = torch.stack([torch.autograd.grad(logits[:, k].sum(), z, retain_graph=True)[0] for k in range(3)], dim=1)
    torch.testing.assert_close(head.gradient(z.detach()), wanted, rtol=1e-5, atol=1e-6)


def test_a_relu_head_is_explained_completely() -> None:
    """Piecewise linear: ``g . z`` and what the biases add are the logit."""
    torch.manual_seed(0)
    head = MlpHead(12, 16, 3, activation="relu", dropout_in=0, dropout=0).eval()
    z = torch.randn(4, 12)
    with torch.no_grad():
        active = (head.first(z) > 0).float()
        bias = (active * head.first.bias) @ head.last.weight.T + head.last.bias
        torch.testing.assert_close(torch.einsum("nkd,nd->nk", head.gradient(z), z) + bias, head(z))


def test_the_heat_of_the_cnn_branch_is_grad_cam() -> None:
    """Of the exported view, on a real architecture."""
    cnn = make("medconvformer").views()["model"]
    image, _ = films(2)
    features = cnn.backbone(cnn.scale(image)).detach().requires_grad_()  # type: ignore[operator]
    logits = cnn.head(features.mean(dim=(2, 3)))  # type: ignore[operator]
    _, heat = cnn(image)
    for k in range(3):
        (slope,) = torch.autograd.grad(logits[:, k].sum(), features, retain_graph=True)
        weight = slope.sum(dim=(2, 3), keepdim=True)
        torch.testing.assert_close(heat[:, k], torch.relu((weight * features).sum(dim=1)), rtol=1e-3, atol=1e-5)


def test_deit_scm_explains_its_logits_completely() -> None:
    """``mean(W_k . S_p) + b_k`` is the logit that a film is judged by."""
    model = make("deit_scm")
    image, _ = films(2)
    with torch.no_grad():
        tokens = model.vit(image).patches  # type: ignore[operator]
        explained = model.head(tokens).mean(dim=1)  # type: ignore[operator]
    torch.testing.assert_close(judge(model, image, image).logits, explained, rtol=1e-4, atol=1e-5)


def grid(seed: int = 0, side: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens, and attention with one peak."""
    torch.manual_seed(seed)
    attention = torch.rand(2, 1, side, side) * 0.01
    attention[:, :, 2:4, 1:3] += 0.1
    return torch.randn(2, 8, side, side), attention


def test_landweber_terms_are_newton_schulz_steps() -> None:
    """Four steps of the original are sixteen terms of matrix-vector products."""
    tokens, attention = grid()
    laplacian = couplings(tokens, torch.tensor(2.0))
    start = 5 * attention.flatten(1)
    torch.testing.assert_close(
        landweber(laplacian, start, 16, 0.01), newton_schulz(laplacian, start, 4, 0.01), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("blocks", [1, 2, 3, 4])
def test_the_original_turns_its_map_at_every_block(blocks: int) -> None:
    """So only an even number of them points at the lesion; the mended form always does."""
    for mode in ("seed", "paper"):
        tokens, attention = grid()
        spread = attention
        for _ in range(blocks):
            block = Diffusion(mode, steps=4, coupling=2.0, shrink=0.1 if mode == "seed" else 0.5)
            tokens, spread = block(tokens, spread)
        told = float(torch.corrcoef(torch.stack([attention.flatten(), spread.detach().flatten()]))[0, 1])
        if mode == "paper":
            assert told > 0.5
            assert float(spread.detach().min()) >= 0
        else:
            assert (told > 0) == (blocks % 2 == 0)


@pytest.mark.parametrize("coupling", [-50.0, 0.0, 50.0])
def test_diffusion_is_bounded_whatever_it_learns(coupling: float) -> None:
    """Lambda stays in 1..3, and the step below what would diverge."""
    tokens, attention = grid(side=14)
    block = Diffusion("paper", steps=4, coupling=2.0, shrink=0.5)
    with torch.no_grad():
        block.coupling.fill_(coupling)
        _, spread = block(tokens, attention)
        laplacian = couplings(tokens, torch.tensor(3.0))
        largest = torch.linalg.matrix_norm(laplacian, ord=2)
    assert float(spread.max()) <= 1.001
    assert bool((safe_step(laplacian).flatten() * largest**2 <= 1.0001).all())


def hybrid(**options: str) -> HybridLungVit:
    """The model with its own type."""
    made = make("hybrid_lung_vit", **options)
    assert isinstance(made, HybridLungVit)
    return made


def test_left_and_right_tokens_swap_under_a_flip() -> None:
    """The geometry knows no side by itself."""
    features = torch.rand(2, 5, 16, 16)
    cut = torch.tensor([0.4, 0.55])
    zero, one = torch.zeros(2), torch.ones(2)
    rows = overlap(zero, one, 4, 16)
    left = pool(features, rows, overlap(zero, cut, 4, 16))
    flipped = pool(features.flip(3), rows, overlap(1 - cut, one, 4, 16))
    mirrored = flipped.reshape(2, 4, 4, 5).flip(2).reshape(2, 16, 5)
    torch.testing.assert_close(left, mirrored, rtol=1e-4, atol=1e-5)


def test_every_column_belongs_to_a_side_by_its_share() -> None:
    """Weights of a part sum to one; a cell on the cut is shared, not given."""
    cut = torch.tensor([0.53])
    left = overlap(torch.zeros(1), cut, 1, 10)[0, 0]
    assert float(left.sum()) == pytest.approx(1, abs=1e-4)
    assert float(left[5] / left[0]) == pytest.approx(0.3, abs=1e-3)
    assert float(left[6:].sum()) == 0


def test_the_cut_follows_the_lungs_within_bounds() -> None:
    """Between a quarter and three quarters; the middle where nothing is known."""
    model, image = hybrid(), torch.zeros(4, 1, 64, 64)
    lungs = torch.zeros(4, 1, 64, 64)
    lungs[0, :, :, 20:40] = 1
    lungs[1, :, :, :2] = 1
    lungs[2, :, :, 62:] = 1
    found = model.cut(lungs, lungs, image)
    assert found.tolist() == pytest.approx([30 / 64, 0.25, 0.75, 0.5], abs=2e-3)
    assert model.cut(None, lungs, image).tolist() == [0.5] * 4


def test_a_model_with_its_own_lungs_takes_one_input() -> None:
    """The cut then comes from the segmentation head."""
    model = hybrid(lungs="seg_head")
    assert not model.takes_mask
    assert judge(model, *films()).logits.shape == (3, 2)
