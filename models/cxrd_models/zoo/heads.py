"""The two-layer head that three architectures share, and its gradient without autograd (models of seeds 000 and 002).

The gradient of a class with respect to the pooled feature makes a class map without a backward pass: for a
head on an average, ``relu(g_k . F_p)`` is Grad-CAM (arXiv 1610.02391), and the graph can compute it itself.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

Activation = Literal["gelu", "relu"]


class MlpHead(nn.Module):
    """Dropout, Linear, activation, Dropout, Linear.

    Parameters
    ----------
    channels, hidden, classes : int
        D, width, K.
    activation : {"gelu", "relu"}
        Between the layers.
    dropout_in, dropout : float
        Before each layer, 0..1.
    """

    def __init__(
        self, channels: int, hidden: int, classes: int, *, activation: Activation, dropout_in: float, dropout: float
    ) -> None:
        super().__init__()
        self.activation = activation
        self.first, self.last = nn.Linear(channels, hidden), nn.Linear(hidden, classes)
        self.dropout_in, self.dropout = nn.Dropout(dropout_in), nn.Dropout(dropout)

    def forward(self, z: Tensor) -> Tensor:
        """[..., D] to logits [..., K]."""
        hidden = self.first(self.dropout_in(z))
        active = nn.functional.gelu(hidden) if self.activation == "gelu" else torch.relu(hidden)
        logits: Tensor = self.last(self.dropout(active))
        return logits

    def gradient(self, z: Tensor) -> Tensor:
        """Return d logits / d z, [N, K, D], in eval mode, of z [N, D]."""
        hidden = self.first(z)
        if self.activation == "gelu":
            density = torch.exp(hidden * hidden * -0.5) / math.sqrt(2 * math.pi)
            slope = 0.5 * (1 + torch.erf(hidden / math.sqrt(2))) + hidden * density
        else:
            slope = (hidden > 0).to(hidden.dtype)
        found: Tensor = (slope[:, None, :] * self.last.weight[None]) @ self.first.weight
        return found


def class_maps(gradient: Tensor, features: Tensor) -> Tensor:
    """Positive part of g [N, K, D] . F [N, D, h, w]: [N, K, h, w]."""
    return torch.relu(torch.einsum("nkd,ndhw->nkhw", gradient, features))
