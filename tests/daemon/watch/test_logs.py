"""What the log says, and what it never says."""

from __future__ import annotations

import json
import subprocess
import sys

SPEAK = """
import logging, threading, warnings
from cxrd.watch import logs
logs.configure("infer", json=True)
logs.logger().info("study analysed", study="1.2.3", patient_name="DOE^JANE", patient_id="4711", accession="A1")
warnings.warn("Invalid value for VR PN: 'DOE^JANE'")
logging.getLogger("pydicom").warning("header of DOE^JANE")
logging.getLogger("sqlalchemy").warning("pool is empty")
ends = threading.Thread(target=lambda: 1 / 0, name="association")
ends.start()
ends.join()
"""


UNBUFFERED = """
import io, os, sys
class Raw(io.RawIOBase):
    def writable(self): return True
    def write(self, data): return os.write(1, repr(bytes(data)).encode() + b"\\n")
sys.stderr = io.TextIOWrapper(Raw(), write_through=True)
from cxrd.watch import logs
logs.configure("infer", json=True)
logs.logger().info("study analysed")
logs.logger().info("study analysed")
"""


def spoken() -> list[dict[str, str]]:
    """Lines that a process logs."""
    answer = subprocess.run([sys.executable, "-c", SPEAK], capture_output=True, text=True, check=True)
    return [json.loads(line) for line in answer.stderr.splitlines()]


def test_a_line_carries_role_time_and_uid() -> None:
    """One JSON object a line, ready for a log store."""
    line = spoken()[0]
    assert ("infer", "study analysed", "1.2.3", "info") == (line["role"], line["event"], line["study"], line["level"])
    assert "timestamp" in line


def test_patient_data_stays_out() -> None:
    """Neither our own keys nor a library's warning brings a name into the log."""
    text = json.dumps(spoken())
    assert "DOE" not in text
    assert "4711" not in text


def test_other_libraries_are_heard() -> None:
    """A warning of the database layer reaches the operator as JSON too."""
    assert "pool is empty" in [line["event"] for line in spoken()]


def test_a_thread_that_ends_by_an_error_is_a_line_too() -> None:
    """A library's thread as well: no traceback between the lines of JSON."""
    line = spoken()[-1]
    assert ("error", "association", True) == (line["level"], line["thread"], "ZeroDivisionError" in line["exception"])


def test_a_line_is_one_write() -> None:
    """Roles share one stream: a line whose end is written apart runs into another role's."""
    answer = subprocess.run([sys.executable, "-c", UNBUFFERED], capture_output=True, text=True, check=True)
    assert [True, True] == [line.endswith("}\\n'") for line in answer.stdout.splitlines()]
