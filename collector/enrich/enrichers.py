"""Everything that is added to a batch on its way, in order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from collector.batch import Batch
from collector.enrich.cluster_peers import ClusterPeers
from collector.enrich.identity import Identities
from collector.enrich.local import LocalEnricher
from collector.enrich.names import NameTable
from collector.enrich.networks import Network, NetworkTable
from collector.enrich.peer import PeerEnricher
from collector.enrich.translations import Translations


class Enricher(Protocol):
    def enrich(self, batch: Batch) -> None:
        """Adds columns to batches that have the fields it works on, leaves all others as they are; never raises for any data."""
        ...


def build_enrichers(
    identities: Identities,
    names: NameTable,
    networks: Sequence[tuple[str, Network]] = (),
    fresh_seconds: float = 60,
    translations: Translations | None = None,
    connections: int = 65_536,
) -> tuple[LocalEnricher, PeerEnricher]:
    """networks: (name, network) pairs of the user's own. fresh_seconds: at least three times the snapshot interval.

    connections: both of whose ends are remembered.
    """
    cluster = ClusterPeers(identities.cluster, identities)
    peers = PeerEnricher(identities, names, NetworkTable(networks), cluster, fresh_seconds, 2 * connections, translations)
    return LocalEnricher(identities), peers
