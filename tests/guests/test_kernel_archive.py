from __future__ import annotations

import pytest
from kernel_archive import NEWEST, SUITES, UnavailableError, choose_release, find_sites, series_of

OFFERED = [
    "5.10.0-43-amd64",
    "5.10.0-46-amd64",
    "6.1.0-0.deb11.52-amd64",
    "6.1.0-9-amd64",
    "6.1.0-56-amd64",
    "6.1.0-57-cloud-amd64",
    "6.12.100+deb12-amd64",
    "6.12.117+deb12-rt-amd64",
    "7.2.13+deb14-amd64",
]


@pytest.mark.parametrize(
    ("wanted", "release"),
    [
        ("5.10", "5.10.0-46-amd64"),
        ("6.1", "6.1.0-56-amd64"),
        ("6.12", "6.12.100+deb12-amd64"),
        (NEWEST, "7.2.13+deb14-amd64"),
        ("5.10.0-43-amd64", "5.10.0-43-amd64"),
        ("4.19", ""),
    ],
)
def test_highest_plain_release_of_a_series_is_taken(wanted: str, release: str) -> None:
    assert choose_release(OFFERED, wanted) == release


def test_series_is_what_people_call_a_kernel() -> None:
    assert [series_of(release) for release in ("6.1.0-56-amd64", "7.2.13+deb14-amd64")] == ["6.1", "7.2"]


def test_mirrors_are_those_of_the_system() -> None:
    indexes = [("http://mirror/debian", "bookworm"), ("http://mirror/security", "bookworm-security")]
    places = dict(find_sites(indexes))
    assert places.keys() == set(SUITES)
    assert places["sid"] == "http://mirror/debian"
    assert places["bullseye-security"] == "http://mirror/security"


@pytest.mark.parametrize("indexes", [[], [("http://mirror/debian", "bookworm")]])
def test_system_without_such_mirrors_is_told_so(indexes: list[tuple[str, str]]) -> None:
    with pytest.raises(UnavailableError, match="no Debian mirror"):
        find_sites(indexes)
