"""Print every figure, one line each."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import films, processing, receiving


def main() -> None:
    """Measure and print."""
    with TemporaryDirectory(prefix="cxrd-bench-") as name:
        folder = Path(name)
        for what, figure in processing.measure(folder):
            print(f"{what:58} {figure}", flush=True)
        if shutil.which("storescu") is None:
            sys.exit("the receiving figures need dcmtk: apt-get install dcmtk")
        for what, figure in receiving.measure(folder, films.write(folder / "films", receiving.FILMS)):
            print(f"{what:58} {figure}", flush=True)


if __name__ == "__main__":
    main()
