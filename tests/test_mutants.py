"""``make mutants`` changes lines that are there; a fault that time has left behind proves nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from mutants.faults import FAULTS, Fault


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.drops)
def test_a_fault_can_be_put_in(root: Path, fault: Fault) -> None:
    """Its line stands exactly once, and its tests are somewhere."""
    source = (root / "daemon" / "cxrd" / fault.file).read_text(encoding="utf-8")
    assert 1 == source.count(fault.before)
    for test in fault.tests:
        path, _, name = test.partition("::")
        assert not name or f"def {name.partition('[')[0]}(" in (root / path).read_text(encoding="utf-8")


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.drops)
def test_a_fault_stands_in_the_table(root: Path, fault: Fault) -> None:
    """With the tests that notice it, named by file as in the failure matrix."""
    tests = ", ".join(f"`{test.rpartition('/')[2]}`" for test in fault.tests)
    assert f"| {fault.drops} | {tests} |" in (root / "docs" / "mutants.md").read_text(encoding="utf-8").splitlines()
