"""Every reason for a refusal tells a person what to do about it."""

from __future__ import annotations

from cxrd.errors import Reason
from cxrd.store.schema import StudyState
from cxrd.telling import STATES, TODO


def test_each_reason_and_each_state_is_explained() -> None:
    """A new one gets its words in ``telling.py``."""
    assert set(Reason) == TODO.keys()
    assert set(StudyState) == STATES.keys()
    assert all([*TODO.values(), *STATES.values()])
