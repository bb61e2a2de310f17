"""What may be imported where, asked of running interpreters."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ASK = (
    "import sys, importlib; [importlib.import_module(m) for m in sys.argv[1:]]; print('\\n'.join(sorted(sys.modules)))"
)


def modules(root: Path) -> list[str]:
    """Every module of the daemon, by its import name."""
    source = root / "daemon"
    paths = (p.relative_to(source).with_suffix("") for p in sorted(source.rglob("*.py")))
    return [
        ".".join(p.parts).removesuffix(".__init__")
        for p in paths
        if p.name != "__main__" and "migrations" not in p.parts
    ]


def loaded_by(*names: str) -> set[str]:
    """Top-level packages in memory after importing ``names`` in a fresh interpreter."""
    answer = subprocess.run([sys.executable, "-c", ASK, *names], capture_output=True, text=True, check=True)
    return {line.split(".")[0] for line in answer.stdout.splitlines()}


def test_the_daemon_never_imports_torch(root: Path) -> None:
    """Importing every module of cxrd loads neither torch nor the trainer."""
    assert set() == loaded_by(*modules(root)) & {"torch", "timm", "torchvision", "cxrd_models"}


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("cxrd.service.role_listen", {"onnxruntime", "highdicom", "uvicorn"}),
        ("cxrd.service.role_deliver", {"onnxruntime", "highdicom", "uvicorn", "cv2"}),
        ("cxrd.service.role_web", {"onnxruntime", "highdicom", "pynetdicom"}),
        ("cxrd.work.decoding", {"onnxruntime", "highdicom", "uvicorn"}),
    ],
)
def test_a_role_carries_only_what_it_needs(module: str, heavy: set[str]) -> None:
    """A listener holds no models in memory, a decode process no ONNX Runtime."""
    assert set() == loaded_by(module) & heavy


def test_only_settings_reads_the_environment_and_toml(root: Path) -> None:
    """One door for configuration; the supervisor may set a variable for its children."""
    reads = re.compile(r"os\.environ\.get|os\.getenv|environ\[[^]]*\](?!\s*=)|tomllib")
    offenders = [
        path.name
        for path in (root / "daemon").rglob("*.py")
        if path.name != "settings.py" and reads.search(path.read_text(encoding="utf-8"))
    ]
    assert [] == offenders


def test_only_metrics_names_metrics(root: Path) -> None:
    """A metric's name stands in one table."""
    offenders = [
        path.name
        for path in (root / "daemon").rglob("*.py")
        if path.name != "metrics.py" and re.search(r"\"cxrd_[a-z_]+\"", path.read_text(encoding="utf-8"))
    ]
    assert [] == offenders


def test_broad_excepts_stand_only_where_the_house_allows_them(root: Path) -> None:
    """`except Exception` is a door that logs and decides; there are few such doors."""
    deciding = {"loop.py", "upkeep.py", "listener.py", "decoding.py"}
    parsing = {path.name for path in (root / "daemon" / "cxrd" / "imaging").glob("*.py")}  # foreign bytes
    offenders = []
    for path in (root / "daemon").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            broad = isinstance(node, ast.ExceptHandler) and (
                node.type is None
                or (isinstance(node.type, ast.Name) and node.type.id in {"Exception", "BaseException"})
            )
            if broad and path.name not in deciding | parsing:
                offenders.append(f"{path.name}:{node.lineno}")  # type: ignore[attr-defined]
    assert [] == offenders
