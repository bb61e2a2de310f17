"""One table of metrics: what the code shows, the papers tell, the dashboards draw and the alerts watch is the same."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from cxrd.watch import metrics as m

NAME = re.compile(r"\bcxrd_[a-z_]+")
PARTS = ("_bucket", "_sum", "_count")
DASHBOARDS = ("clinical", "models", "service")
SHOWN = {*(x.name for x in m.TABLE), *(x.name + part for x in m.TABLE if x.kind is m.Kind.HISTOGRAM for part in PARTS)}


def rules(root: Path) -> list[dict[str, Any]]:
    """Every rule, recording and alerting."""
    found = yaml.safe_load((root / "deploy/prometheus/alerts.yml").read_text(encoding="utf-8"))
    return [rule for group in found["groups"] for rule in group["rules"]]


def panels(root: Path, name: str) -> list[dict[str, Any]]:
    """Panels of a dashboard, without the rows that head them."""
    found = json.loads((root / f"deploy/grafana/dashboards/{name}.json").read_text(encoding="utf-8"))
    return [panel for panel in found["panels"] if panel["type"] != "row"]


def sections(root: Path) -> dict[str, str]:
    """Sections of the runbook by their anchor."""
    parts = re.split(r"^## (\w+)$", (root / "docs/RUNBOOK.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {title.lower(): body for title, body in zip(parts[1::2], parts[2::2], strict=True)}


def test_the_table_says_what_the_code_shows(root: Path) -> None:
    """Name, type, labels and meaning of every metric, in order, each with a unit and what to do."""
    lines = (root / "docs/metrics.md").read_text(encoding="utf-8").splitlines()
    told = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines if line.startswith("| `cxrd_")]
    kinds = {m.Kind.QUERY: "gauge"}
    expected = [
        (f"`{x.name}`", kinds.get(x.kind, str(x.kind)), ", ".join(f"`{name}`" for name in x.labels) or "–", x.meaning)
        for x in m.TABLE
    ]
    assert expected == [(name, kind, labels, meaning) for name, kind, labels, _, meaning, _ in told]
    for name, _, _, unit, _, todo in told:
        assert todo.endswith((".", ")")), name
        assert ("seconds" in unit) == ("_seconds" in name), name
        assert ("bytes" in unit) == ("_bytes" in name), name


def queries(root: Path) -> Iterator[tuple[str, str]]:
    """Where it stands, and every query of dashboards and rules."""
    for name in DASHBOARDS:
        board = json.loads((root / f"deploy/grafana/dashboards/{name}.json").read_text(encoding="utf-8"))
        yield from ((f"{name}, variable", v["definition"]) for v in board["templating"]["list"] if "definition" in v)
        yield from ((f"{name}, {panel['title']}", t["expr"]) for panel in panels(root, name) for t in panel["targets"])
    yield from ((rule.get("alert") or rule["record"], rule["expr"]) for rule in rules(root))


def test_no_query_names_a_metric_that_is_not_shown(root: Path) -> None:
    """A renamed metric breaks here, not in the night when its alert stays silent; no label is invented either."""
    labels = {x.name: {*x.labels, "instance", "le"} for x in m.TABLE}
    for where, query in queries(root):
        assert set(NAME.findall(query)) <= SHOWN, where
        for name, matchers in re.findall(r"\b(cxrd_[a-z_]+)\{([^}]*)\}", query):
            metric = next(x for x in labels if name in {x, *(x + part for part in PARTS)})
            assert set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers)) <= labels[metric], where


def test_no_figure_of_the_database_is_added_up_or_told_by_each_host(root: Path) -> None:
    """Each host that shows the page reports the same one: eight hosts would make eight studies, or alerts, of one."""
    same = "|".join(x.name for x in m.TABLE if x.kind is m.Kind.QUERY and x not in OF_A_HOST)
    for where, query in queries(root):
        bare = re.sub(rf"\b(max|min)( by \([^)]*\))? ?\([^()]*\b({same})\b", "", re.sub(r"\{[^}]*\}", "", query))
        assert not re.search(rf"\b({same})\b", bare) or "label_values" in query, where


OF_A_HOST = (m.STORE_UP, m.RELOADED, m.SPOOL_FREE, m.SPOOL_SIZE, m.SPOOL_WATERMARK, m.BUILD_INFO)


def test_every_metric_is_drawn(root: Path) -> None:
    """What nobody looks at is not worth counting."""
    drawn = {name for where, query in queries(root) for name in NAME.findall(query)}
    undrawn = [x.name for x in m.TABLE if not drawn & {x.name, *(x.name + part for part in PARTS)}]
    assert [] == undrawn


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_dashboard_can_be_read(root: Path, name: str) -> None:
    """Every panel says what it shows, in which unit; none lies on another; links to the runbook lead somewhere."""
    board = json.loads((root / f"deploy/grafana/dashboards/{name}.json").read_text(encoding="utf-8"))
    assert f"cxrd-{name}" == board["uid"]
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in panels(root, name):
        assert len(panel["description"]) > 20, panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        for link in panel.get("links", []):
            assert link["url"].partition("#")[2] in sections(root), panel["title"]
    for one, other in combinations([panel["gridPos"] for panel in board["panels"]], 2):
        apart = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        assert apart or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert one["x"] + one["w"] <= 24


def unknown(written: object, read: object, place: str = "") -> Iterator[str]:
    """Every place of what was written that is missing or another in what was read."""
    if isinstance(written, dict) and isinstance(read, dict):
        for key, value in written.items():
            yield from unknown(value, read.get(key), f"{place}/{key}")
    elif isinstance(written, list) and isinstance(read, list) and len(written) == len(read):
        for index, (one, other) in enumerate(zip(written, read, strict=True)):
            yield from unknown(one, other, f"{place}/{index}")
    elif written != read:
        yield place


@pytest.mark.parametrize("name", DASHBOARDS)
def test_grafana_understands_every_word_of_a_dashboard(root: Path, name: str) -> None:
    """Read and written by Grafana's own schema nothing is lost: a misspelt option would be ignored without a word."""
    plugins.register_default_plugins()
    board = json.loads((root / f"deploy/grafana/dashboards/{name}.json").read_text(encoding="utf-8"))
    read = json.loads(JSONEncoder().encode(Dashboard.from_json(board)))
    lost = set(unknown(board, read))
    # What a variable's query was called before; Grafana still writes it beside `query` and its schema leaves it out
    assert {place for place in lost if not re.fullmatch(r"/templating/list/\d+/definition", place)} == set()


def test_grafana_is_told_where_everything_lies(root: Path) -> None:
    """Data source and dashboards come up without a click."""
    folder = root / "deploy/grafana/provisioning"
    source = yaml.safe_load((folder / "datasources/prometheus.yml").read_text(encoding="utf-8"))
    boards = yaml.safe_load((folder / "dashboards/cxrd.yml").read_text(encoding="utf-8"))
    assert "prometheus" == source["datasources"][0]["type"]
    assert "file" == boards["providers"][0]["type"]


def test_every_alert_has_a_section_and_a_test(root: Path) -> None:
    """Meaning, look, do; fires in a unit test; and the runbook has no section for an alert that is gone."""
    alerts = [rule for rule in rules(root) if "alert" in rule]
    tests = "".join(path.read_text(encoding="utf-8") for path in (root / "tests/deploy").glob("*.test.yml"))
    known = sections(root)
    assert {rule["alert"].lower() for rule in alerts} == known.keys()
    for rule in alerts:
        name = rule["alert"]
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert f"docs/RUNBOOK.md#{name.lower()}" == rule["annotations"]["runbook"]
        assert all(f"**{word}.**" in known[name.lower()] for word in ("Meaning", "Look", "Do")), name
        assert f'alertname="{name}"' in tests, name


@pytest.mark.parametrize("file", ["alerts.test.yml", "days.test.yml"])
def test_alerts_fire_when_they_should(root: Path, file: str) -> None:
    """`promtool test rules`: each fires in its case, alone, and stays silent before."""
    if shutil.which("promtool") is None:
        pytest.skip("needs promtool: apt-get install prometheus")
    done = subprocess.run(
        ["promtool", "test", "rules", file], cwd=root / "tests/deploy", capture_output=True, text=True, check=False
    )
    assert 0 == done.returncode, done.stdout + done.stderr


def test_working_hours_are_those_of_the_hospitals_clock(root: Path, tmp_path: Path) -> None:
    """Eight hours behind UTC, a Friday ends on Saturday at two."""
    if shutil.which("promtool") is None:
        pytest.skip("needs promtool: apt-get install prometheus")
    text = (root / "deploy/prometheus/alerts.yml").read_text(encoding="utf-8")
    moved = text.replace("time() + 0 * 3600", "time() - 8 * 3600")
    assert moved != text
    (tmp_path / "alerts.yml").write_text(moved)
    asked = {
        "Thursday 14:00": 0,
        "Thursday 15:00": 1,
        "Friday 01:00": 1,
        "Friday 02:00": 0,
        "Saturday 01:00": 1,
        "Sunday 01:00": 0,
    }
    days = ("Thursday", "Friday", "Saturday", "Sunday")
    tests = []
    for moment, works in asked.items():
        day, clock = moment.split()
        at = f"{24 * days.index(day) + int(clock[:2])}h1m"
        tests.append(
            {
                "expr": "cxrd:working_hours",
                "eval_time": at,
                "exp_samples": [{"labels": "cxrd:working_hours", "value": 1}] * works,
            }
        )
    case = {"interval": "1m", "promql_expr_test": tests}
    told = {"rule_files": ["alerts.yml"], "evaluation_interval": "1m", "tests": [case]}
    (tmp_path / "hours.test.yml").write_text(json.dumps(told))
    done = subprocess.run(
        ["promtool", "test", "rules", "hours.test.yml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert 0 == done.returncode, done.stdout + done.stderr
