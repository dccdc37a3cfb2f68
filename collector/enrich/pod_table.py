"""All pods that somebody told of, and since when and until when each was said to have its addresses."""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from collector.cluster_facts import EndpointSlice, FactSource, Pod
from collector.enrich.address_holders import AddressHolders
from collector.enrich.cluster_objects import FOREVER, SERVICE, KnownPod, PodTemplate, PodTemplates, keep_endpoint

KEPT_GONE = 8192  # rows about pods that are gone may come late, and cgroups later than the news of their end
SERVICES = 8  # that a pod is known to stand behind
Told = Callable[[Sequence[bytes]], None]


@dataclass(slots=True)
class PodTable:
    """Bounded: of more than `maximum` newcomers are refused and counted.

    Times are boot_ns; at: when something was learnt, 0: as of the first moment. on_address: told of addresses whose holders
    or their times are others now; on_name: of pods that may be called otherwise now.
    """

    holders: AddressHolders
    maximum: int
    on_address: Told
    on_name: Callable[[KnownPod], None]
    refused: int = 0
    _pods: dict[str, KnownPod] = field(default_factory=dict)
    _gone: OrderedDict[str, KnownPod] = field(default_factory=OrderedDict)
    _by_cgroup: dict[str, str] = field(default_factory=dict)  # static pods only: UID in the cgroup's path -> UID
    _left: OrderedDict[str, int] = field(default_factory=OrderedDict)  # UID in the cgroup's path -> when its last container went
    _templates: PodTemplates = field(default_factory=PodTemplates)

    def __len__(self) -> int:
        return len(self._pods)

    def get(self, uid: str) -> KnownPod | None:
        """By its UID or by that which its cgroup carries; pods that are gone are remembered for a while."""
        uid = self._by_cgroup.get(uid, uid)
        return self._pods.get(uid) or self._gone.get(uid)

    def lives(self, uid: str) -> bool:
        """Whether that pod exists, as far as anybody told."""
        return self._by_cgroup.get(uid, uid) in self._pods

    def all(self) -> list[KnownPod]:
        """Those that went lately among them."""
        return [*self._pods.values(), *self._gone.values()]

    def learn(self, fact: Pod, source: FactSource, at: int, started_at: int) -> None:
        known = self._pods.get(fact.uid) or self._new(fact, at, started_at)
        if known is None or (known.source is FactSource.API_SERVER and source is FactSource.RUNTIME):
            return
        known.source, known.started_at, known.host_network = source, started_at, fact.host_network
        known.name, known.template, known.node = fact.name, self._templates.of(fact), sys.intern(fact.node)
        known.identifiers = tuple(one.identifier for one in fact.containers)
        self._take_addresses(known, fact, at)
        if fact.finished and known.until == FOREVER:
            self._end(known, at or known.since)
        self.on_name(known)

    def lose(self, uid: str, source: FactSource, at: int) -> None:
        """It is no more."""
        pod = self._pods.get(uid)
        if pod is None or (pod.source is FactSource.API_SERVER and source is FactSource.RUNTIME):
            return
        self._end(self._forget(pod), at)

    def leave(self, cgroup_uid: str, at: int) -> None:
        """The last container of that pod went from this node at `at`: its addresses are free, whatever is told later."""
        self._left[cgroup_uid] = at
        self._left.move_to_end(cgroup_uid)
        while len(self._left) > KEPT_GONE:
            self._left.popitem(last=False)
        pod = self.get(cgroup_uid)
        if pod is not None and at < pod.until:
            self._leave(pod, at)

    def enter(self, cgroup_uid: str, at: int) -> None:
        """A container of that pod has come to this node: if all had left, it has its addresses again."""
        left = self._left.pop(cgroup_uid, None)
        pod = self._pods.get(self._by_cgroup.get(cgroup_uid, cgroup_uid))
        if pod is not None and left is not None and pod.left:
            self._begin_again(pod, pod.addresses, at)

    def learn_endpoints(self, fact: EndpointSlice, at: int) -> None:
        """Where pods are told without addresses, or not at all, the slices say who has which."""
        for endpoint in fact.endpoints:
            pod = self._pods.get(endpoint.pod_uid) if endpoint.pod_uid else None
            if pod is None and endpoint.pod_uid and self._has_room():
                pod = self._pods[endpoint.pod_uid] = keep_endpoint(endpoint, fact, self._templates, at)
                self.on_name(pod)
            if pod is not None and pod.source is None:
                self._add_service(pod, fact.service)
            if pod is None or pod.host_network or endpoint.address in pod.addresses or not (pod.by_endpoint or not pod.addresses):
                continue
            pod.by_endpoint, pod.since = True, max(pod.since, at)
            self._hold(pod, (*pod.addresses, endpoint.address))

    def _add_service(self, pod: KnownPod, service: str) -> None:
        """It stands behind that service too."""
        owners = (*pod.template.owners, (SERVICE, service))
        if (SERVICE, service) not in pod.template.owners and len(owners) <= SERVICES:
            pod.template = self._templates.share(PodTemplate(pod.namespace, tuple(sorted(owners))))
            self.on_name(pod)

    def lose_endpoints(self, uids: Iterable[str], at: int) -> None:
        """No slice names these any more."""
        for uid in uids:
            pod = self._pods.get(uid)
            if pod is None or not pod.by_endpoint:
                continue
            if pod.source is None:
                self._end(self._forget(pod), at)
            else:
                self._begin_again(pod, (), at)

    def _has_room(self) -> bool:
        room = len(self._pods) < self.maximum
        self.refused += not room
        return room

    def _new(self, fact: Pod, at: int, started_at: int) -> KnownPod | None:
        if not self._has_room():
            return None
        self._gone.pop(fact.uid, None)
        pod = KnownPod(fact.uid, fact.name, self._templates.of(fact), "", (), (), None, at or started_at, started_at)
        pod.cgroup_uid = fact.mirror_uid or fact.uid
        if pod.cgroup_uid != fact.uid:
            self._by_cgroup[pod.cgroup_uid] = fact.uid
        self._pods[fact.uid] = pod
        return pod

    def _take_addresses(self, pod: KnownPod, fact: Pod, at: int) -> None:
        addresses = () if fact.host_network else fact.addresses
        if addresses == pod.addresses or not addresses or (fact.finished and not pod.addresses):
            return
        pod.by_endpoint = False
        if pod.addresses:
            self._begin_again(pod, addresses, at)
            return
        pod.since = max(pod.since, at)
        self._hold(pod, addresses)
        if pod.cgroup_uid in self._left:
            self._leave(pod, self._left[pod.cgroup_uid])

    def _begin_again(self, pod: KnownPod, addresses: tuple[bytes, ...], at: int) -> None:
        """The pod with other addresses, or with the same once more; what was stays as a holder of its own."""
        if pod.until == FOREVER:
            self._end(pod, at)
        again = KnownPod(
            pod.uid, pod.name, pod.template, pod.node, (), pod.identifiers, pod.source, max(at, pod.since), 0,
            cgroup_uid=pod.cgroup_uid, host_network=pod.host_network,
        )  # fmt: skip
        self._pods[pod.uid] = again
        self._hold(again, addresses)

    def _hold(self, pod: KnownPod, addresses: tuple[bytes, ...]) -> None:
        """It says that the addresses are its own; what that proves is worked out when somebody asks (pod_intervals)."""
        pod.addresses = addresses
        for address in addresses:
            self.holders.add(address, pod)
        self.on_address(addresses)

    def _forget(self, pod: KnownPod) -> KnownPod:
        del self._pods[pod.uid]
        self._gone[pod.uid] = pod
        while len(self._gone) > KEPT_GONE:
            _, forgotten = self._gone.popitem(last=False)
            if forgotten.cgroup_uid != forgotten.uid:
                self._by_cgroup.pop(forgotten.cgroup_uid, None)
        return pod

    def _leave(self, pod: KnownPod, at: int) -> None:
        pod.since = min(pod.since, at)
        pod.until, pod.left = at, True
        self._free(pod)

    def _end(self, pod: KnownPod, at: int) -> None:
        """Unless that was known before."""
        if pod.until == FOREVER:
            pod.until = max(at, pod.since)
            self._free(pod)

    def _free(self, pod: KnownPod) -> None:
        self.holders.settle(pod.addresses)
        self.on_address(pod.addresses)
