from __future__ import annotations

from pathlib import Path

import pytest

from collector.source.kernel_obstacle import CONFIDENTIAL, NO_BTF, NO_RING_BUFFERS, Obstacle, find_obstacle, lockdown_mode


@pytest.mark.parametrize(
    ("has_btf", "lockdown", "lacks_rings", "obstacle"),
    [
        (True, "none", False, None),
        (True, "integrity", False, None),
        (True, "confidentiality", True, CONFIDENTIAL),
        (False, "", True, NO_BTF),
        (True, "", True, NO_RING_BUFFERS),
    ],
)
def test_what_explains_most_is_named(has_btf: bool, lockdown: str, lacks_rings: bool, obstacle: Obstacle | None) -> None:
    assert find_obstacle(has_btf, lockdown, lacks_rings) == obstacle


@pytest.mark.parametrize(
    ("text", "mode"),
    [("none integrity [confidentiality]\n", "confidentiality"), ("[none] integrity confidentiality\n", "none"), ("", "")],
)
def test_mode_of_lockdown_is_the_one_in_brackets(tmp_path: Path, text: str, mode: str) -> None:
    place = tmp_path / "kernel/security"
    place.mkdir(parents=True)
    (place / "lockdown").write_text(text)
    assert lockdown_mode(tmp_path) == mode


def test_kernel_without_lockdown_has_no_mode(tmp_path: Path) -> None:
    assert lockdown_mode(tmp_path) == ""
