"""Vision transformers as the other files use them: patch tokens, a class token, and where that one looks.

`PublishedVit` wraps a ViT or DeiT of timm. `CompactVit` is the small size: a MobileNetV2 makes
the tokens (a convolutional stem learns from few films, arXiv 2106.14881) and a few transformer blocks relate
them. Those start as the identity, so that a fresh model knows what its published stem knows.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from cxrd_models.errors import RecipeError
from cxrd_models.zoo.mobilenet import MobileNetV2Features, to_imagenet_range
from cxrd_models.zoo.pretrained import ToBackboneRange, create

PATCH = 16


class Tokens(NamedTuple):
    """What a transformer made of films.

    Attributes
    ----------
    cls : Tensor
        [N, D] class token after the last norm.
    patches : Tensor
        [N, h * w, D] patch tokens after the last norm, row by row.
    attention : Tensor
        [N, heads, h * w] of the class token in the last block; with the class token's own share it sums to 1.
    """

    cls: Tensor
    patches: Tensor
    attention: Tensor


class VitBackbone(Protocol):
    """A transformer over a grid of patches; implementations are ``torch.nn.Module``."""

    width: int
    grid: tuple[int, int]

    def __call__(self, image: Tensor) -> Tokens:
        """[N, 1, H, W] in 0..1 to tokens."""
        ...

    def pooled(self, image: Tensor) -> Tensor:
        """[N, D'] mean of what the published weights alone see."""
        ...


class Block(nn.Module):
    """Pre-norm transformer block: attention and a GELU network of 2 or more times the width.

    Parameters
    ----------
    width, heads : int
        D and number of heads.
    expansion : int
        Width of the network over D.
    dropout : float
        0..1, after attention and network.
    """

    def __init__(self, width: int, heads: int, expansion: int, dropout: float) -> None:
        super().__init__()
        self.heads = dividing(width, heads)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        narrow = nn.Linear(expansion * width, width)
        self.mlp = nn.Sequential(nn.Linear(width, expansion * width), nn.GELU(), narrow)
        self.dropout = nn.Dropout(dropout)
        for last in (self.proj, narrow):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(self, x: Tensor) -> Tensor:
        """[N, T, D] to the same."""
        n, tokens, width = x.shape
        qkv = self.qkv(self.norm1(x)).reshape(n, tokens, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, tokens, width)
        x = x + self.dropout(self.proj(mixed))
        y: Tensor = x + self.dropout(self.mlp(self.norm2(x)))
        return y

    def first_row(self, x: Tensor) -> Tensor:
        """[N, heads, T] attention of the first token over all of a block's input [N, T, D]."""
        return first_row(self.qkv(self.norm1(x)), self.heads)


def dividing(width: int, heads: int) -> int:
    """Return the number of heads, when they can share the width.

    Raises
    ------
    RecipeError
        They cannot.
    """
    if width % heads:
        raise RecipeError(f"a width of {width} cannot be shared by {heads} heads", hint="choose a multiple, in [model]")
    return heads


def first_row(qkv: Tensor, heads: int) -> Tensor:
    """[N, heads, T] softmax attention of the first token, from a fused projection [N, T, 3 * D]."""
    n, tokens, three = qkv.shape
    q, k, _ = qkv.reshape(n, tokens, 3, heads, three // 3 // heads).permute(2, 0, 3, 1, 4).unbind(0)
    scaled = (q[:, :, :1] * (q.shape[-1] ** -0.5)) @ k.transpose(-2, -1)
    row: Tensor = scaled[:, :, 0].softmax(dim=-1)
    return row


class CompactVit(nn.Module):
    """A convolutional stem, then ``depth`` blocks; keys ``backbone.*`` are torchvision's.

    Parameters
    ----------
    backbone : MobileNetV2Features
        The stem.
    pixels : tuple of int
        H and W, multiples of the stem's stride.
    width, depth, heads : int
        D, blocks, heads.
    dropout : float
        0..1.
    """

    def __init__(
        self,
        backbone: MobileNetV2Features,
        pixels: tuple[int, int],
        *,
        width: int,
        depth: int,
        heads: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.width, self.grid = width, (pixels[0] // backbone.stride, pixels[1] // backbone.stride)
        self.backbone = backbone
        self.embed = nn.Linear(backbone.channels, width)
        self.cls = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.position = nn.Parameter(torch.randn(1, 1 + self.grid[0] * self.grid[1], width) * 0.02)
        self.blocks = nn.ModuleList(Block(width, heads, 2, dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    def forward(self, image: Tensor) -> Tokens:
        """[N, 1, H, W] in 0..1 to tokens."""
        cells = self.embed(self.backbone(to_imagenet_range(image)).flatten(2).transpose(1, 2))
        x = torch.cat([self.cls.expand(cells.shape[0], -1, -1), cells], dim=1) + self.position
        for block in list(self.blocks)[:-1]:
            x = block(x)
        last = self.blocks[-1]
        row = last.first_row(x)  # type: ignore[operator]  # a ModuleList does not tell what it holds
        x = self.norm(last(x))
        return Tokens(x[:, 0], x[:, 1:], row[:, :, 1:])

    def pooled(self, image: Tensor) -> Tensor:
        """[N, 1280] see `MobileNetV2Features.pooled`."""
        return self.backbone.pooled(to_imagenet_range(image))


class PublishedVit(nn.Module):
    """A plain ViT or DeiT of timm with one class token; keys ``vit.*`` are timm's.

    Parameters
    ----------
    name : str
        E.g. ``deit_tiny_patch16_224``.
    pixels : tuple of int
        H and W, multiples of 16; position embeddings are interpolated to them.
    pretrained : bool
        See `cxrd_models.zoo.pretrained.create`.
    """

    def __init__(self, name: str, pixels: tuple[int, int], *, pretrained: bool) -> None:
        super().__init__()
        vit = create(name, pretrained=pretrained, img_size=pixels)
        self.width, self.grid = int(vit.embed_dim), (pixels[0] // PATCH, pixels[1] // PATCH)
        self.scale = ToBackboneRange(vit.pretrained_cfg["mean"], vit.pretrained_cfg["std"])
        self.vit = vit

    def forward(self, image: Tensor) -> Tokens:
        """[N, 1, H, W] in 0..1 to tokens."""
        vit: Any = self.vit
        x = vit.norm_pre(vit.patch_drop(vit._pos_embed(vit.patch_embed(self.scale(image)))))  # noqa: SLF001 - as timm's forward_features
        for block in vit.blocks[:-1]:
            x = block(x)
        last = vit.blocks[-1]
        row = first_row(last.attn.qkv(last.norm1(x)), last.attn.num_heads)
        x = vit.norm(last(x))
        return Tokens(x[:, 0], x[:, 1:], row[:, :, 1:])

    def pooled(self, image: Tensor) -> Tensor:
        """[N, D] mean of the patch tokens."""
        return self(image).patches.mean(dim=1)  # type: ignore[no-any-return]  # torch types a module's call as Any
