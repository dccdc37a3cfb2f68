"""From when to when each of the pods that claimed an address can be proven to have had it. Pure.

Whoever tells of a pod is late: its address is told after it has it, and its end after another one may have the address. What is
known of a pod: that it had no address before it `began`, that somebody had heard of its address at `since`, and of its end at
`until`; where its containers were on this node, `until` is exact (`left`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from collector.enrich.cluster_objects import FOREVER, Holder, KnownPod


class Held(NamedTuple):
    """The holder had the address from start until before end (boot_ns)."""

    holder: Holder
    start: int
    end: int


def pod_intervals(holders: Iterable[Holder]) -> list[Held]:
    """Of all pods among those that claimed one address."""
    pods = [one for one in holders if isinstance(one, KnownPod)]
    return [prove(pod, [other for other in pods if other.uid != pod.uid]) for pod in pods]


def prove(pod: KnownPod, others: Sequence[KnownPod]) -> Held:
    """What is left of its time when all others have had theirs."""
    start, end = pod.began, pod.until
    for other in others:
        if other.began > pod.began:
            end = end if pod.left else min(end, other.began)
        elif other.began < pod.began:
            start = max(start, after_older(pod, other))
        elif pod.started_at and pod.until > other.until:
            start = max(start, pod.since, other.until)
        elif pod.started_at and pod.until < other.until and not pod.left:
            end = start
    return Held(pod, start, end)


def after_older(pod: KnownPod, older: KnownPod) -> int:
    """From when on the address is the pod's, although an older one had it."""
    if older.until <= pod.began:
        return pod.began
    if older.left and older.until != FOREVER:
        return older.until
    return pod.since
