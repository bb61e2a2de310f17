"""A published backbone keeps its statistics, whether its weights learn or not."""

from __future__ import annotations

from torch import nn


def keep_statistics(module: nn.Module) -> None:
    """Put every batch norm into eval mode.

    Batches of a few dozen films estimate means badly, and some published weights come with their norms folded
    away: statistics of a batch would scale what was never meant to be scaled.
    """
    for part in module.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):  # noqa: SLF001 - torch's common base
            part.eval()
