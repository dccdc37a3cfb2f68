"""A container that is wanted is looked up once, told once, and told again when it is gone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from patience import PATIENCE_SECONDS

from collector.cluster_facts import ContainerFact, FactChange, FactSource, Pod
from collector.runtimes.description import Description
from collector.runtimes.facts import FactBook
from collector.runtimes.host_files import HostFiles
from collector.runtimes.lookup import WAITING_MAX, RuntimeLookup
from runtimes.host_tree import DOCKER, IDENTIFIER, POD_PATH, POD_UID, TASKS, Listener, place, write

NOW = 1_800_000_000_000_000_000
PAUSES = (0.0, 0.05, 0.05, 0.05)


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest.fixture
def lookup(tmp_path: Path, listener: Listener) -> Iterator[RuntimeLookup]:
    looking = RuntimeLookup(HostFiles(tmp_path), listener, pauses=PAUSES, now=lambda: NOW)
    looking.start()
    yield looking
    looking.close()


def test_a_wanted_container_is_told_once(tmp_path: Path, lookup: RuntimeLookup, listener: Listener) -> None:
    place(tmp_path, DOCKER, "docker_container.json")
    for _ in range(100):
        lookup.want(IDENTIFIER, f"/docker/{IDENTIFIER}")
    wait_until(lambda: bool(listener.changes))
    lookup.close()
    [change] = listener.changes
    labels = {"com.docker.compose.project": "shop", "com.docker.compose.service": "web"}
    fact = ContainerFact(IDENTIFIER, "web", "bb:1", "docker", labels, 1795717341108440000)
    assert change == FactChange(fact, 1795717341108440000, source=FactSource.RUNTIME)
    assert lookup.counters() == {"found": 1}


def test_state_that_is_written_a_moment_later_is_found(tmp_path: Path, lookup: RuntimeLookup, listener: Listener) -> None:
    write(tmp_path, DOCKER, b'{"Name": ')
    lookup.want(IDENTIFIER, f"/docker/{IDENTIFIER}")
    wait_until(lambda: lookup.counters().get("malformed", 0) > 0)
    place(tmp_path, DOCKER, "docker_container.json")
    wait_until(lambda: bool(listener.changes))
    assert lookup.counters()["found_late"] == 1


def test_a_container_that_nobody_knows_is_counted_once_and_not_asked_for_again(lookup: RuntimeLookup, listener: Listener) -> None:
    lookup.want(IDENTIFIER, "/")
    wait_until(lambda: lookup.counters().get("not_found") == 1)
    lookup.want(IDENTIFIER, "/")
    lookup.want("5a" * 32, "/")
    wait_until(lambda: lookup.counters().get("not_found") == 2)
    assert listener.changes == []


def test_what_was_told_is_gone_when_it_is_released(tmp_path: Path, lookup: RuntimeLookup, listener: Listener) -> None:
    place(tmp_path, f"{TASKS}/k8s.io/{IDENTIFIER}/config.json", "containerd_cri_bundle.json")
    lookup.want(IDENTIFIER, POD_PATH)
    wait_until(lambda: len(listener.changes) == 1)
    lookup.release(IDENTIFIER)
    wait_until(lambda: len(listener.changes) == 2)
    told, gone = listener.changes
    assert isinstance(told.fact, Pod)
    assert (told.fact.uid, told.fact.name, told.fact.namespace) == (POD_UID, "cart-7d9c6b5f4-x2x8q", "shop")
    assert [(one.name, one.identifier) for one in told.fact.containers] == [("cart", IDENTIFIER)]
    assert (told.gone, gone.gone, gone.fact) == (False, True, told.fact)


def test_a_container_that_left_before_it_was_looked_up_does_not_stay(tmp_path: Path, listener: Listener) -> None:
    place(tmp_path, DOCKER, "docker_container.json")
    lookup = RuntimeLookup(HostFiles(tmp_path), listener, now=lambda: NOW)
    lookup.want(IDENTIFIER, "/")
    lookup.release(IDENTIFIER)
    lookup.start()
    wait_until(lambda: len(listener.changes) == 2)
    lookup.close()
    assert [change.gone for change in listener.changes] == [False, True]


def test_a_storm_of_containers_is_bounded_and_counted(tmp_path: Path, listener: Listener) -> None:
    lookup = RuntimeLookup(HostFiles(tmp_path), listener)
    for number in range(WAITING_MAX + 5):
        lookup.want(f"{number:064x}", "/")
    assert lookup.counters() == {"overflowed": 5}


def test_what_is_no_identifier_of_a_runtime_is_not_looked_up(tmp_path: Path, listener: Listener) -> None:
    lookup = RuntimeLookup(HostFiles(tmp_path), listener)
    for text in ("", "../../etc", "AB" * 32, "ab" * 31, f"{IDENTIFIER}\n"):
        lookup.want(text, "/")
    assert not lookup._due


def test_the_thread_outlives_a_sink_that_fails(tmp_path: Path) -> None:
    class Failing(Listener):
        def learn(self, changes: list[FactChange]) -> None:
            super().learn(changes)
            raise RuntimeError("full")

    failing = Failing()
    place(tmp_path, DOCKER, "docker_container.json")
    lookup = RuntimeLookup(HostFiles(tmp_path), failing)
    lookup.start()
    for _ in range(2):
        lookup.want(IDENTIFIER, "/")
        wait_until(lambda: lookup.counters().get("failed", 0) == len(failing.changes) > 0)
        lookup.release(IDENTIFIER)
    wait_until(lambda: len(failing.changes) >= 2)
    lookup.close()


def pod_container(name: str, *, trusted: bool = True, uid: str = POD_UID) -> Description:
    return Description(name, "containerd", "image", "cart", "shop", uid, trusted=trusted)


def test_a_pod_is_told_with_all_its_containers_and_goes_with_the_last() -> None:
    book = FactBook()
    book.write("one", pod_container("a"), POD_UID, NOW)
    fact = book.write("two", pod_container("b"), POD_UID, NOW).fact
    assert isinstance(fact, Pod)
    assert [(one.name, one.identifier) for one in fact.containers] == [("a", "one"), ("b", "two")]
    assert book.strike("one", NOW) is None
    gone = book.strike("two", NOW)
    assert gone is not None
    assert (gone.gone, gone.fact) == (True, fact)
    assert book.strike("two", NOW) is None


def test_an_old_runtime_leaves_the_pods_uid_to_the_path() -> None:
    fact = FactBook().write("one", pod_container("a", uid=""), POD_UID, NOW).fact
    assert isinstance(fact, Pod)
    assert fact.uid == POD_UID


def test_a_users_own_files_cannot_name_somebody_elses_pod() -> None:
    fact = FactBook().write("one", pod_container("a", trusted=False), "", NOW).fact
    assert isinstance(fact, ContainerFact)
    assert fact.name == "a"


def test_the_book_forgets_the_oldest_pod() -> None:
    book = FactBook(maximum=2)
    for number in range(3):
        book.write(f"c{number}", pod_container("a", uid=f"uid-{number}"), "", NOW)
    assert book.strike("c0", NOW) is None
    assert book.strike("c2", NOW) is not None
