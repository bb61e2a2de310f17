"""Put each fault into a copy of the daemon, run the tests that must notice it, and print a table."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from mutants.faults import FAULTS, Fault

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 600
RED = {1}
"""What pytest returns when tests fail, as opposed to tests that could not be run at all."""


def main() -> int:
    """Exit code: 0 when the tests are green without a fault, and red with each."""
    tests = sorted({test for fault in FAULTS for test in fault.tests})
    if run(ROOT / "daemon", tests) != 0:
        print("the tests are red without any fault: repair that first")
        return 1
    width = max(len(fault.drops) for fault in FAULTS)
    print(f"{'without':{width}}  {'noticed':8}  by")
    missed = 0
    for fault in FAULTS:
        with TemporaryDirectory() as folder:
            noticed = run(mutated(Path(folder), fault), fault.tests) in RED
        missed += not noticed
        print(f"{fault.drops:{width}}  {'yes' if noticed else 'NO':8}  {', '.join(fault.tests)}", flush=True)
    print(f"{len(FAULTS)} faults, {missed} unnoticed")
    return 1 if missed else 0


def mutated(folder: Path, fault: Fault) -> Path:
    """Copy the daemon and put one fault into the copy; its source root."""
    shutil.copytree(ROOT / "daemon", folder / "daemon", ignore=shutil.ignore_patterns("__pycache__"))
    path = folder / "daemon" / "cxrd" / fault.file
    source = path.read_text(encoding="utf-8")
    assert source.count(fault.before) == 1, f"{fault.drops}: not once in {fault.file}"
    path.write_text(source.replace(fault.before, fault.after), encoding="utf-8")
    return folder / "daemon"


def run(source: Path, tests: list[str] | tuple[str, ...]) -> int:
    """Exit code of pytest over some tests with the daemon of a source root; a hang is a failure too."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    paths = os.pathsep.join([str(source), str(ROOT / "models")])
    try:
        done = subprocess.run(
            command, cwd=ROOT, env={**os.environ, "PYTHONPATH": paths}, stdout=subprocess.DEVNULL, check=False,
            timeout=SECONDS * max(1, len(tests) // 4),
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return 1
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
