"""A container is asked about when its cgroup is seen, and let go of when its last cgroup is gone."""

from __future__ import annotations

from dataclasses import dataclass, field

from collector.enrich.identity import Identities, build_identities
from enrich.batches import CONTAINER_PATH, ONE, POD_PATH, TWO, cgroups


@dataclass
class Asked:
    """A ContainerLookup that remembers."""

    wanted: list[tuple[str, str]] = field(default_factory=list)
    released: list[str] = field(default_factory=list)

    def want(self, identifier: str, cgroup_path: str) -> None:
        self.wanted.append((identifier, cgroup_path))

    def release(self, identifier: str) -> None:
        self.released.append(identifier)


def identities_with(asked: Asked) -> Identities:
    identities = build_identities()
    identities.containers.lookup = asked
    return identities


def test_every_container_that_is_seen_is_wanted_with_its_path() -> None:
    asked = Asked()
    identities = identities_with(asked)
    identities.observe(
        cgroups(
            {"event": "existing", "cgroup": 50, "path": POD_PATH},
            {"event": "created", "cgroup": 51, "path": "/system.slice/nginx.service"},
            {"event": "attached", "hierarchy": 4, "process": 7, "path": CONTAINER_PATH},
        )
    )
    assert asked.wanted == [(ONE, POD_PATH), (TWO, CONTAINER_PATH)]


def test_a_cgroup_inside_a_container_goes_without_the_container() -> None:
    asked = Asked()
    identities = identities_with(asked)
    identities.observe(
        cgroups(
            {"event": "created", "cgroup": 50, "path": CONTAINER_PATH},
            {"event": "created", "cgroup": 51, "path": f"{CONTAINER_PATH}/system.slice/cron.service"},
            {"event": "removed", "cgroup": 51, "path": f"{CONTAINER_PATH}/system.slice/cron.service"},
        )
    )
    assert asked.released == []
    identities.observe(cgroups({"event": "removed", "cgroup": 50, "path": CONTAINER_PATH}))
    assert asked.released == [TWO]
