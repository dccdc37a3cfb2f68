"""Whether and how to watch a cluster, as settings and surroundings say. The room is imported only where there is Kubernetes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from collector.cluster_facts import FactSink
from collector.errors import SettingsError
from collector.settings import Settings

if TYPE_CHECKING:
    from collector.kubernetes.access import ApiAccess
    from collector.kubernetes.cluster_watch import ClusterWatch

# Kept besides what the settings name: they say what a service is called.
# https://opentelemetry.io/docs/specs/semconv/non-normative/k8s-attributes/
NAMING_LABELS = ("app.kubernetes.io/*",)
NAMING_ANNOTATIONS = ("resource.opentelemetry.io/*",)


def choose_cluster_watch(
    settings: Settings, environ: Mapping[str, str], sink: FactSink, user_agent: str = "honeyguide"
) -> ClusterWatch | None:
    """A watch that is not started yet, or None without Kubernetes. SettingsError when it is wanted and cannot be."""
    access = choose_access(settings, environ)
    if access is None:
        return None
    from collector.kubernetes.cluster_watch import ClusterWatch, WatchOptions  # noqa: PLC0415
    from collector.kubernetes.fact_reading import AllowList  # noqa: PLC0415

    options = WatchOptions(
        node=choose_node_name(settings, environ),
        peers=settings.kubernetes_peers,
        labels=AllowList((*NAMING_LABELS, *settings.kubernetes_labels)),
        annotations=AllowList((*NAMING_ANNOTATIONS, *settings.kubernetes_annotations)),
        limit=settings.max_cluster_objects,
        user_agent=user_agent,
    )
    return ClusterWatch(access, options, sink)


def choose_access(settings: Settings, environ: Mapping[str, str]) -> ApiAccess | None:
    """A kubeconfig goes before the service account of a pod."""
    if settings.kubernetes == "off":
        return None
    if settings.kubeconfig is not None:
        from collector.kubernetes.kubeconfig import read_kubeconfig  # noqa: PLC0415

        return read_kubeconfig(settings.kubeconfig)
    if "KUBERNETES_SERVICE_HOST" in environ:
        from collector.kubernetes.access import in_cluster  # noqa: PLC0415

        found = in_cluster(environ)
        if found is not None:
            return found
    if settings.kubernetes == "on":
        raise SettingsError(
            "kubernetes = on, but there is no API server to ask: this is no pod with a service account.",
            "Name a kubeconfig, or let the pod have its token (automountServiceAccountToken: true).",
        )
    return None


def choose_node_name(settings: Settings, environ: Mapping[str, str]) -> str:
    """SettingsError in a pod that was not told: its host name is its own, not the node's."""
    named = settings.node_name or environ.get("NODE_NAME", "")
    if not named and settings.kubeconfig is None:
        raise SettingsError(
            "The name of this node in Kubernetes is not known.",
            "Give the container NODE_NAME from the field spec.nodeName (as deploy/kubernetes/daemonset.yaml does), "
            "or set node_name; kubernetes = off does without.",
        )
    return named or os.uname().nodename.lower()
