"""``cxrd init``: the commented configuration, with one PACS filled in where it is told."""

from __future__ import annotations

import sys
from pathlib import Path

import cxrd
from cxrd.errors import ConfigError
from cxrd.peers import Destination

PACS = """
# One system that sends films and takes results; written by cxrd init.
[[dicom.sources]]
name = "pacs"
ae_title = "{ae_title}"
hosts = ["{host}"]
quiet_period_s = 5.0

[[destinations]]
name = "pacs"
ae_title = "{ae_title}"
host = "{host}"
port = {port}
send = ["sr", "sc"]
"""
_BEFORE = "\n[database]\n"


def template() -> Path:
    """Return where the commented file lies: in a checkout, else in the environment's shared data."""
    checkout = Path(cxrd.__file__).resolve().parents[2] / "config" / "cxrd.toml"
    return checkout if checkout.is_file() else Path(sys.prefix) / "share" / "cxrd" / "cxrd.toml"


def write(path: Path, pacs: Destination | None, *, replace: bool) -> None:
    """Write the commented configuration.

    Parameters
    ----------
    path : Path
        New file; its folder is made.
    pacs : Destination or None
        Becomes a source and a destination.
    replace : bool
        Whether a file that is there may be lost.

    Raises
    ------
    ConfigError
        The file is there, or cannot be written.
    """
    text = template().read_text(encoding="utf-8")
    if pacs is not None:
        filled = PACS.format(ae_title=pacs.ae_title, host=pacs.host, port=pacs.port)
        text = text.replace(_BEFORE, f"{filled}{_BEFORE}", 1)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w" if replace else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ConfigError(f"{path} is there already", hint="name another file, or add --force to lose it") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}", hint="name another file") from None
