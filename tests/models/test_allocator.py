"""Memory that a training step frees is there for the next one."""

from __future__ import annotations

import resource
import sys

import pytest
import torch

from cxrd_models.train.allocator import keep_freed_memory

SIXTEEN_MIB = 16 * 2**20 // 4


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator only")
def test_large_tensors_reuse_their_pages() -> None:
    """Ten tensors of 16 MiB, one after another, cost the page faults of less than two."""
    if not keep_freed_memory():
        pytest.skip("this C library has no mallopt")
    torch.ones(SIXTEEN_MIB)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(SIXTEEN_MIB)
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    assert faults < 2 * SIXTEEN_MIB * 4 // resource.getpagesize()
