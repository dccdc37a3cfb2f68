from __future__ import annotations

import pytest

from collector.catalog.manifest_place import line_of, line_with

TEXT = """\
question = "Where?"

[[metric]]
name = "a.b"
kind = "counter"

[[metric]]
name = "c.d"
attributes = { "x.y" = "port" }
kind = "conter"

[maps]
flows = 3
"""


@pytest.mark.parametrize(
    ("location", "line"),
    [
        (("question",), 1),
        (("metric", 0, "kind"), 5),
        (("metric", 1, "kind"), 10),
        (("metric", 1, "attributes", "x.y"), 9),
        (("metric", 1, "help"), 7),
        (("maps", "flows"), 13),
        (("hook",), 1),
        ((), 1),
    ],
)
def test_place_of_a_key_is_found(location: tuple[str | int, ...], line: int) -> None:
    assert line_of(TEXT, location) == line


def test_words_are_found_one_after_the_other() -> None:
    assert line_with(TEXT, ["c.d", "port"]) == 9
    assert line_with(TEXT, ["nowhere"]) == 0
