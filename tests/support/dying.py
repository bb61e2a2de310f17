"""Work for decode processes that may not come back."""

from __future__ import annotations

import os
import time
from pathlib import Path

from cxrd.pipeline import Plan
from cxrd.work.decoding import Outcome, read_and_prepare


def deadly(path: Path, plan: Plan) -> Outcome:
    """Die on ``segfault``, hang on ``endless``, work on everything else."""
    if path.name == "segfault":
        os.abort()
    if path.name == "endless":
        time.sleep(3600)
    return read_and_prepare(path, plan)
