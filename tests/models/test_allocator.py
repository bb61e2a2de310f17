"""Memory that a training step frees is there for the next one."""

from __future__ import annotations

import resource
import sys

import pytest
import torch

from cxrd_models.train.allocator import keep_freed_memory

MEBIBYTES = (40, 20, 10, 80, 5, 33)


def step() -> None:
    """Hold and free what a training step might."""
    held = [torch.ones(size * 2**20 // 4) for size in MEBIBYTES]
    held.clear()


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator only")
def test_a_step_reuses_the_pages_of_the_step_before() -> None:
    """Once warm, ten steps cost fewer page faults than the pages of a single one."""
    if not keep_freed_memory():
        pytest.skip("this C library has no mallopt")
    for _ in range(10):
        step()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        step()
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    assert faults < sum(MEBIBYTES) * 2**20 // resource.getpagesize()
