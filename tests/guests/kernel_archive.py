"""Debian's kernels, by package name, from the mirror that this system's own apt uses; the system's apt is not touched."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

SUITES = ("bullseye-security", "bookworm-security", "sid")
NEWEST = "newest"
SERIES = ("5.10", "6.1", "6.12", NEWEST)
IMAGE = re.compile(r"linux-image-(\d+\.\d+\.\d+[\w.+-]*-amd64)")
OTHER_FLAVOURS = re.compile(r"-(cloud|rt)-amd64$")
# Since 6.19 linux-image-* is empty and these hold the kernel.
PARTS = ("linux-image", "linux-binary", "linux-modules", "linux-base")
Say = Callable[[str], None]


class UnavailableError(Exception):
    """Why there is no such kernel here, and what to do."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """release: as uname says; root: its unpacked packages."""

    release: str
    root: Path

    @property
    def modules(self) -> Path:
        places = (self.root / "lib/modules", self.root / "usr/lib/modules")
        return next(place / self.release for place in places if (place / self.release).is_dir())

    @property
    def image(self) -> Path:
        packed = self.root / f"boot/vmlinuz-{self.release}"
        return packed if packed.is_file() else self.modules / "vmlinuz"


class KernelArchive:
    """Kernels kept in folder/<release>; folder/apt holds apt's lists."""

    def __init__(self, folder: Path, say: Say) -> None:
        self._folder = folder
        self._say = say

    def find(self, wanted: str) -> Kernel:
        """The newest kernel of series `wanted` (6.1, newest) or that very release; UnavailableError when it cannot be had.

        One that is here already is taken without asking the mirror.
        """
        here = [path.name for path in self._folder.glob("*-amd64") if (path / "complete").is_file()]
        release = choose_release(here, wanted) if wanted != NEWEST else (self._folder / NEWEST).resolve().name
        if release not in here:
            release = self._fetch(wanted)
        return Kernel(release, self._folder / release)

    def _fetch(self, wanted: str) -> str:
        self._update()
        offered = self._ask("apt-cache", "pkgnames", "linux-").split()
        releases = [match[1] for name in offered if (match := IMAGE.fullmatch(name))]
        release = choose_release(releases, wanted)
        if not release:
            raise UnavailableError(
                f"Debian's archive offers no kernel {wanted} just now; it offers {', '.join(sorted(releases))}."
            )
        root = self._folder / release
        if not (root / "complete").is_file():
            self._unpack(release, [f"{part}-{release}" for part in PARTS if f"{part}-{release}" in offered])
        if wanted == NEWEST:
            link = self._folder / NEWEST
            link.unlink(missing_ok=True)
            link.symlink_to(release)
        return release

    def _update(self) -> None:
        apt = self._folder / "apt"
        for name in ("lists/partial", "archives/partial"):
            (apt / name).mkdir(parents=True, exist_ok=True)
        text = "".join(f"deb {site} {suite} main\n" for suite, site in find_sites(self._indexes()))
        (apt / "sources.list").write_text(text)
        self._say("asking Debian's archive for its kernels")
        self._ask("apt-get", "-qq", "update")

    def _indexes(self) -> Iterable[tuple[str, str]]:
        """(site, suite) of every package list that the system's apt knows."""
        command = ["apt-get", "indextargets", "--format", "$(SITE) $(RELEASE)", "Created-By: Packages"]
        try:
            listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        except (OSError, subprocess.CalledProcessError):
            raise UnavailableError("This system has no apt, which would fetch Debian's kernels.") from None
        return [(site, suite) for site, suite in (line.split() for line in listed.splitlines())]

    def _unpack(self, release: str, packages: Sequence[str]) -> None:
        root, archives = self._folder / release, self._folder / "apt/archives"
        self._say(f"fetching {' '.join(packages)} (once)")
        self._ask("apt-get", "-qq", "download", *packages, folder=archives)
        root.mkdir(exist_ok=True)
        for package in packages:
            (file,) = archives.glob(f"{package}_*.deb")
            subprocess.run(["nice", "-n", "10", "dpkg", "-x", file, root], check=True)
            file.unlink()
        (root / "complete").touch()

    def _ask(self, program: str, *words: str, folder: Path | None = None) -> str:
        apt = self._folder.absolute() / "apt"
        options = {
            "Dir::Etc::sourcelist": apt / "sources.list",
            "Dir::Etc::sourceparts": apt / "none",
            "Dir::State::lists": apt / "lists",
            "Dir::Cache": apt,
            "Acquire::Languages": "none",
            "APT::Sandbox::User": "root",
        }
        command = [program, *(f"-o{name}={value}" for name, value in options.items()), *words]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"})
        if done.returncode:
            raise UnavailableError(f"{program} {words[0]} failed: {done.stderr.strip()[-400:]}")
        return done.stdout


def find_sites(indexes: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """(suite, site) for each of SUITES, from the mirrors of the system's own suites; UnavailableError when there are none."""
    security = {site for site, suite in indexes if suite.endswith("-security")}
    others = {site for site, suite in indexes if not suite.endswith("-security")}
    if not security or not others:
        raise UnavailableError("This system's apt has no Debian mirror (with security updates) to take kernels from.")
    return [(suite, min(security if suite.endswith("-security") else others)) for suite in SUITES]


def choose_release(releases: Iterable[str], wanted: str) -> str:
    """The highest release of series `wanted`, or that very release; '' when there is none."""
    plain = [release for release in releases if not OTHER_FLAVOURS.search(release)]
    fitting = [release for release in plain if wanted in {NEWEST, release, series_of(release)}]
    return max(fitting, key=version_key, default="")


def series_of(release: str) -> str:
    """6.1 for 6.1.0-56-amd64."""
    return ".".join(release.split(".")[:2]).partition("-")[0]


def version_key(release: str) -> list[int]:
    """Numbers in the order in which releases count them up; a backport (0.deb11) comes before its origin."""
    return [int(number) for number in re.findall(r"\d+", release)]
