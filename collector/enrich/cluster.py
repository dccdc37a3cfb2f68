"""What is known of the cluster, and what workloads are called because of it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

from collector.clock import Clock
from collector.cluster_facts import ClusterNode, ContainerFact, EndpointSlice, FactChange, FactSource, Pod, Service
from collector.enrich.address_holders import AddressHolders
from collector.enrich.cluster_objects import KnownEndpoints, KnownNode, KnownPod, keep_service, keep_slice
from collector.enrich.pod_attributes import NamingChoice, keep_container, name_container, name_pod
from collector.enrich.pod_table import PodTable
from collector.enrich.service_table import ServiceTable
from collector.enrich.workload_table import Naming, WorkloadKey, WorkloadTable
from collector.workload import WorkloadKind

CONTAINERS = 16_384  # without a pod; the one learnt first goes first, and is counted
OBJECTS = 200_000  # pods, and as many services, slices and nodes together
DEFAULT_CHOICE = NamingChoice()
NO_FACTS: Mapping[str, str] = {}


class Cluster:
    """Takes facts (`learn`) under the pipeline's lock; asked by enrichers, the table of workloads and the API.

    expected: facts will come, so that addresses nobody knows yet are worth waiting for. on_address: told of addresses whose
    holders or their times are others now, None for any. maximum: of objects, see the tables.
    """

    def __init__(
        self, clock: Clock, workloads: WorkloadTable, choice: NamingChoice = DEFAULT_CHOICE, maximum: int = OBJECTS
    ) -> None:
        self.holders = AddressHolders(2 * maximum)
        self.pods = PodTable(self.holders, maximum, self._tell, self._decorate)
        self.services = ServiceTable(self.holders, maximum, self._tell)
        self.expected = False
        self.on_address: Callable[[Sequence[bytes] | None], None] = ignore
        self._clock, self._workloads, self._choice = clock, workloads, choice
        self._containers: OrderedDict[str, ContainerFact] = OrderedDict()
        self._containers_evicted = 0
        workloads.describe = self.describe

    def learn(self, changes: Sequence[FactChange]) -> None:
        """Takes changes in order. What there is no room for is counted."""
        self.expected |= any(change.source is FactSource.API_SERVER for change in changes)
        for change in changes:
            self.expected |= not isinstance(change.fact, ContainerFact)
            self._learn(change, self._boot(change.at))

    def describe(self, key: WorkloadKey, before: Mapping[str, str] = NO_FACTS) -> Naming | None:
        """What a pod's or a container's workload is called by now; None while nobody told. before: the facts that it had."""
        if key.pod_uid:
            pod = self.pods.get(key.pod_uid)
            return None if pod is None else keep_container(name_pod(pod, key.container_id, self._choice), before)
        container = self._containers.get(key.container_id) if key.container_id else None
        return None if container is None else name_container(container, self._choice)

    def name(self, pod: KnownPod) -> Naming:
        """What a pod as a whole is called."""
        return name_pod(pod, "", self._choice)

    def counters(self) -> Mapping[str, int]:
        """What could not be kept, by reason."""
        return {
            "pods_refused": self.pods.refused,
            "services_refused": self.services.refused,
            "addresses_refused": self.holders.refused,
            "container_facts_evicted": self._containers_evicted,
        }

    def _learn(self, change: FactChange, at: int) -> None:
        fact = change.fact
        if isinstance(fact, Pod):
            if change.gone:
                self.pods.lose(fact.uid, change.source, at)
            else:
                self.pods.learn(fact, change.source, at, self._boot(fact.started_at))
        elif isinstance(fact, ContainerFact):
            self._learn_container(fact, change.gone)
        elif isinstance(fact, EndpointSlice):
            self._learn_slice(fact, change.gone, at)
        elif change.gone:
            self.services.lose(fact.uid, at)
        elif isinstance(fact, Service):
            self.services.learn(keep_service(fact, at), at)
        elif isinstance(fact, ClusterNode):
            self.services.learn(KnownNode(fact.uid, fact.name, fact.addresses, at), at)

    def _learn_slice(self, fact: EndpointSlice, gone: bool, at: int) -> None:
        known = self.services.get(fact.uid)
        before = known.pods if isinstance(known, KnownEndpoints) else frozenset()
        after: frozenset[str] = frozenset()
        if gone:
            self.services.lose(fact.uid, at)
        else:
            kept = keep_slice(fact, at)
            after = kept.pods
            self.services.learn(kept, at)
        if before - after:
            self.pods.lose_endpoints(self.services.without_endpoint(before - after), at)
        if not gone:
            self.pods.learn_endpoints(fact, at)

    def _learn_container(self, fact: ContainerFact, gone: bool) -> None:
        if gone:
            self._containers.pop(fact.identifier, None)
            return
        self._containers[fact.identifier] = fact
        if len(self._containers) > CONTAINERS:
            self._containers.popitem(last=False)
            self._containers_evicted += 1
        key = WorkloadKey(WorkloadKind.CONTAINER, fact.identifier[:12], container_id=fact.identifier)
        number = self._workloads.with_key(key)
        if number is not None:
            self._workloads.decorate(number)

    def _boot(self, at: int) -> int:
        """Unix ns to boot_ns; 0 stays 0."""
        return max(at - self._clock.offset_ns, 1) if at else 0

    def _tell(self, addresses: Sequence[bytes] | None) -> None:
        self.on_address(addresses)

    def _decorate(self, pod: KnownPod) -> None:
        for uid in {pod.uid, pod.cgroup_uid or pod.uid}:
            for number in list(self._workloads.of_pod(uid)):
                self._workloads.decorate(number)


def ignore(addresses: Sequence[bytes] | None) -> None:
    """Nobody wants to know."""
