import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
BOARDS = {path.name: json.loads(path.read_text()) for path in sorted((ROOT / "dashboards").glob("*.json"))}
FUNCTIONS = "sum by on or rate increase min max avg topk vector label_replace histogram_quantile label_values"
VARIABLES = "node namespace workload __rate_interval"
PROMQL = set(f"{FUNCTIONS} {VARIABLES} le instance".split())
TABLE_ROW = re.compile(r"^\| `[^`]+` \| `(?P<name>[^`]+)` \| (?P<kind>\w+) \| [^|]* \| (?P<attributes>[^|]*) \|", re.MULTILINE)
SUFFIXES = {"histogram": ("_bucket", "_sum", "_count")}


def documented() -> tuple[set[str], set[str]]:
    """(names of metrics, names of labels) that docs/metrics.md promises."""
    page = (ROOT / "docs" / "metrics.md").read_text()
    rows = list(TABLE_ROW.finditer(page))
    names = {row["name"] + suffix for row in rows for suffix in SUFFIXES.get(row["kind"], ("",))}
    attributes = re.findall(r"`([a-z0-9_.]+)`", page.split("## Probe")[0] + " ".join(row["attributes"] for row in rows))
    return names, {attribute.replace(".", "_") for attribute in attributes}


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def expressions(board: dict[str, Any]) -> Iterator[str]:
    for panel in panels(board):
        yield from (target["expr"] for target in panel["targets"])
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["query"]


def test_all_boards_are_committed() -> None:
    assert list(BOARDS) == ["agent.json", "network.json", "requests.json"]


def test_committed_boards_are_in_step_with_their_source() -> None:
    command = [sys.executable, str(ROOT / "dashboards" / "build.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_expressions_use_only_metrics_and_labels_that_exist(board: dict[str, Any]) -> None:
    names, labels = documented()
    for expression in expressions(board):
        unquoted = re.sub(r'"[^"]*"', '""', expression)
        used = set(re.findall(r"([a-zA-Z_]\w*)\{", unquoted)) | set(re.findall(r"label_values\((\w+),", unquoted))
        assert used, expression
        assert used <= names, expression
        other = set(re.findall(r"(?<![\w.])[a-zA-Z_]\w*", unquoted)) - used - PROMQL
        assert other <= labels, expression


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_legends_name_labels_that_their_query_keeps(board: dict[str, Any]) -> None:
    for panel in panels(board):
        for target in panel["targets"]:
            for label in re.findall(r"\{\{(\w+)\}\}", target.get("legendFormat", "")):
                assert label in target["expr"], f"{panel['title']}: {label}"


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_every_panel_says_what_it_shows_and_in_what_unit(board: dict[str, Any]) -> None:
    for panel in panels(board):
        assert panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["datasource"]["uid"] == "${datasource}"
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"]) > 0


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_panels_fill_the_width_and_do_not_overlap(board: dict[str, Any]) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        taken |= cells
    assert len(taken) == 24 * (1 + max(y for _, y in taken)), "there are holes"


def test_identifiers_and_titles_are_unique() -> None:
    for board in BOARDS.values():
        identifiers = [panel["id"] for panel in board["panels"]]
        assert len(identifiers) == len(set(identifiers))
        titles = [panel["title"] for panel in panels(board) if panel["type"] != "stat"]
        assert len(titles) == len(set(titles))
    assert len({board["uid"] for board in BOARDS.values()}) == len(BOARDS)
