from __future__ import annotations

import os
from pathlib import Path

import pytest

from collector.catalog.trust import check_trusted
from collector.errors import ManifestError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "mine"
    folder.mkdir(mode=0o755)
    (folder / "probe.toml").write_text("")
    return folder


def test_own_folder_is_trusted(folder: Path) -> None:
    check_trusted(folder)
    check_trusted(folder / "probe.toml")


def test_file_that_others_can_write_is_not(folder: Path) -> None:
    (folder / "probe.toml").chmod(0o666)
    with pytest.raises(ManifestError, match=r"probe\.toml can be written by others") as refusal:
        check_trusted(folder)
    assert "chmod go-w" in refusal.value.remedy


def test_folder_above_that_others_can_write_is_not(folder: Path) -> None:
    folder.parent.chmod(0o777)
    with pytest.raises(ManifestError, match="can be written by others"):
        check_trusted(folder)
    folder.parent.chmod(0o1777)  # like /tmp: nobody takes away what is another's
    check_trusted(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_file_of_another_user_is_not(folder: Path) -> None:
    os.chown(folder / "probe.toml", 12345, 12345)
    with pytest.raises(ManifestError, match="belongs to user 12345"):
        check_trusted(folder)


def test_link_is_judged_by_where_it_leads(folder: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(folder)
    (folder / "probe.toml").chmod(0o622)
    with pytest.raises(ManifestError, match=r"mine/probe\.toml"):
        check_trusted(link)
