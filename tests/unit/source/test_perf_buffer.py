from __future__ import annotations

from pathlib import Path

import pytest

from collector.source.perf_buffer import online_processors


@pytest.mark.parametrize(
    ("text", "numbers"), [("0\n", [0]), ("0-3\n", [0, 1, 2, 3]), ("0-1,4,6-7\n", [0, 1, 4, 6, 7]), ("5", [5])]
)
def test_list_of_processors_is_read(tmp_path: Path, text: str, numbers: list[int]) -> None:
    (tmp_path / "online").write_text(text)
    assert list(online_processors(str(tmp_path / "online"))) == numbers
