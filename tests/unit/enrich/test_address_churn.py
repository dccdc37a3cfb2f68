"""Addresses that are given again at once, told of late: simulated pods of other nodes, of which only the API server knows.

The truth is who had the address when a connection to it was opened. A row that is asked when all news up to its time have come
is never attributed to another pod.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
import pytest

from collector.enrich.cluster_peers import ClusterPeers, Question
from collector.enrich.identity import Identities
from enrich.batches import SECOND, address
from enrich.cluster_samples import known, learnt, pod

TCP = 6
ADDRESSES = [f"10.0.0.{number}" for number in range(1, 9)]


@dataclass(frozen=True)
class Life:
    """Seconds since boot: created, address held from until, the news of address and end."""

    uid: str
    address: str
    created: float
    began: float
    ended: float
    told: float
    told_end: float


def live(chance: random.Random, seconds: float, lifetime: float, gap: float, slowest: float = 1.5) -> list[Life]:
    """Pods one after the other on each address; gap: seconds for which nobody has it."""
    lives = []
    for text in ADDRESSES:
        at = chance.uniform(1, 3)
        while at < seconds:
            created, began = at, at + chance.uniform(0.05, 0.3)
            ended = began + chance.uniform(0.3, 2.0) * lifetime
            told = began + chance.uniform(0, slowest)
            uid = f"{len(lives):08x}-5f60-4718-8293-a4b5c6d7e8f9"
            lives.append(Life(uid, text, created, began, ended, told, max(ended, told) + chance.uniform(0, slowest)))
            at = ended + gap
    return lives


def tell(identities: Identities, lives: list[Life], until: float, since: float = 0) -> None:
    """News in the order in which they come."""
    news = [(life.told, False, life) for life in lives] + [(life.told_end, True, life) for life in lives]
    for at, gone, life in sorted(news, key=lambda one: one[:2]):
        if since <= at < until:
            started = float(int(life.created))  # the API server knows whole seconds
            identities.cluster.learn([learnt(pod(life.uid, life.address, started=started), at, gone=gone)])


def ask(peers: ClusterPeers, rows: list[tuple[str, float]]) -> list[int]:
    question = Question(
        np.full(len(rows), TCP),
        np.frombuffer(b"".join(address(text) for text, _ in rows), np.uint8).reshape(-1, 16),
        np.full(len(rows), 80),
        np.array([int(at * SECOND) for _, at in rows], np.uint64),
    )
    found: list[int] = peers.find(question).tolist()
    return found


def holders(lives: list[Life], text: str, at: float) -> list[str]:
    """Whoever had the address then; while nobody had it yet, whoever had it last or gets it next."""
    there = [life for life in lives if life.address == text]
    now = [life.uid for life in there if life.began <= at < life.ended]
    before = [life.uid for life in there if life.ended <= at]
    after = [life.uid for life in there if at < life.began]
    return now or [*before[-1:], *after[:1]]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("lifetime", "gap", "least"), [(1, 0, 0.1), (10, 3, 0.6)])
def test_row_asked_when_all_news_have_come_is_never_another_pods(seed: int, lifetime: float, gap: float, least: float) -> None:
    chance = random.Random(seed)
    lives = live(chance, 60, lifetime, gap)
    identities = known()
    peers = ClusterPeers(identities.cluster, identities)
    right = unknown = 0
    for step in range(0, 60, 5):
        rows = [(chance.choice(ADDRESSES), chance.uniform(step, step + 5)) for _ in range(400)]
        tell(identities, lives, step + 5 + 4, since=step + 4 if step else 0)
        for (text, at), number in zip(rows, ask(peers, rows), strict=True):
            found = identities.workload(number).pod_uid
            truth = holders(lives, text, at)
            assert found in (*truth, ""), f"{text} at {at} was {truth}"
            right, unknown = right + bool(found), unknown + (not found)
    assert unknown > 0, "what cannot be proven is unknown"
    assert right / (right + unknown) > least
