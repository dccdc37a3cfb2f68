"""Which container is meant, and where a runtime of its user would keep its state."""

from __future__ import annotations

import re
from dataclasses import dataclass

from collector.runtimes.host_files import HostFiles

IDENTIFIER = re.compile(r"[0-9a-f]{64}")
USER = re.compile(r"/user-([0-9]{1,10})\.slice/")
POD = re.compile(r"pod([0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}|[0-9a-f]{32})(?:\.slice)?/")


@dataclass(frozen=True, slots=True)
class Question:
    """identifier: 64 hex digits. labels: the allow-list, patterns. user: whose runtime it is, -1 for the node's own.
    home: that user's."""

    identifier: str
    cgroup_path: str
    labels: tuple[str, ...] = ()
    user: int = -1
    home: str = ""

    @property
    def pod_uid(self) -> str:
        """The UID of the pod in the cgroup's path; ''."""
        found = POD.findall(self.cgroup_path)
        return found[-1].replace("_", "-") if found else ""

    def places(self, system: tuple[str, ...], of_user: tuple[str, ...]) -> list[tuple[str, bool]]:
        """(folder, whether only root writes there). of_user: with {home} and {user}. Root may work in a user's session too."""
        found = [(place, True) for place in system]
        if self.user > 0:
            texts = {"home": self.home, "user": str(self.user)}
            found += [(place.format_map(texts), False) for place in of_user if self.home or "{home}" not in place]
        return found


def ask(identifier: str, cgroup_path: str, files: HostFiles, labels: tuple[str, ...]) -> Question:
    """The question with everything that the path itself says. user@1000.service below user-1000.slice: a rootless runtime."""
    found = USER.search(cgroup_path)
    if found is None or found[1] == "0":
        return Question(identifier, cgroup_path, labels)
    return Question(identifier, cgroup_path, labels, int(found[1]), find_home(files, found[1]))


def find_home(files: HostFiles, user: str) -> str:
    """From the host's /etc/passwd; '' when it is not there (users of a directory service)."""
    content = files.read("etc/passwd") or b""
    for line in content.decode("utf-8", "surrogateescape").splitlines():
        fields = line.split(":")
        if len(fields) > 5 and fields[2] == user and fields[5].startswith("/"):
            return fields[5]
    return ""
