"""Print every figure, one line each; with names of parts, only theirs: ``python -m bench claiming``."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import claiming, films, processing, receiving, training


def _receiving(folder: Path) -> Iterator[tuple[str, str]]:
    if shutil.which("storescu") is None:
        sys.exit("the receiving figures need dcmtk: apt-get install dcmtk")
    return receiving.measure(folder, films.write(folder / "films", receiving.FILMS))


PARTS = {
    "processing": processing.measure,
    "claiming": claiming.measure,
    "training": training.measure,
    "receiving": _receiving,
}


def main() -> None:
    """Measure and print."""
    for part in sys.argv[1:] or PARTS:
        with TemporaryDirectory(prefix="cxrd-bench-") as name:
            for what, figure in PARTS[part](Path(name)):
                print(f"{what:58} {figure}", flush=True)


if __name__ == "__main__":
    main()
