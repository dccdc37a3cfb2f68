"""Asks the API server everything once that the watches will ask, to see what it allows. For the doctor."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from collector.kubernetes.access import ApiAccess
from collector.kubernetes.api_client import ApiClient
from collector.kubernetes.fact_reading import AllowList
from collector.kubernetes.failure import ApiError, Outcome, remedy_for
from collector.kubernetes.owner_lookup import METADATA_ONLY, PATHS
from collector.kubernetes.pod_reading import PodReader
from collector.kubernetes.resource_kinds import Peers, kinds_to_watch

SILENCE_SECONDS = 10.0
METADATA_OF_MANY = METADATA_ONLY.replace("PartialObjectMetadata", "PartialObjectMetadataList")  # a list has no other: 406
NO_SUCH_OBJECT = "default/{}/honeyguide-doctor"  # 404 when we may ask, 403 when not


@dataclass(frozen=True, slots=True)
class Trial:
    """subject: 'watch pods'. cause, remedy: '' when it is allowed."""

    subject: str
    cause: str = ""
    remedy: str = ""


def try_permissions(access: ApiAccess, node: str, peers: Peers) -> list[Trial]:
    """In the order in which they are needed; after the first that cannot reach the server there are no more."""
    return asyncio.run(_try_all(access, node, peers))


async def _try_all(access: ApiAccess, node: str, peers: Peers) -> list[Trial]:
    trials: list[Trial] = []
    async with ApiClient(access, "honeyguide-doctor") as client:
        for subject, path, parameters in _questions(node, peers):
            verb, resource = subject.split()
            try:
                await client.get(path, parameters, SILENCE_SECONDS, METADATA_OF_MANY if verb == "list" else METADATA_ONLY)
                trials.append(Trial(subject))
            except ApiError as error:
                if verb == "get" and error.outcome is Outcome.MISSING:
                    trials.append(Trial(subject))
                    continue
                trials.append(Trial(subject, error.cause, remedy_for(error.outcome, resource)))
                if error.outcome not in (Outcome.REFUSED, Outcome.MISSING):
                    break
    return trials


def _questions(node: str, peers: Peers) -> Sequence[tuple[str, str, dict[str, str]]]:
    """(subject, path, parameters)"""
    reader = PodReader(node, AllowList(), AllowList())
    found: list[tuple[str, str, dict[str, str]]] = []
    for kind in kinds_to_watch(reader, peers):
        found.append((f"list {kind.name}", kind.path, {**kind.selector, "limit": "1"}))
        watch = {**kind.selector, "watch": "true", "timeoutSeconds": "1", "fieldSelector": "metadata.name=honeyguide-doctor"}
        found.append((f"watch {kind.name}", kind.path, watch))
    for resource, prefix in PATHS.values():
        found.append((f"get {resource}", f"{prefix}/namespaces/{NO_SUCH_OBJECT.format(resource)}", {}))
    return found
