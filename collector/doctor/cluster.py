"""Whether the Kubernetes API answers, and what its RBAC lets the agent ask."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from collector.cluster_choice import choose_access, choose_node_name
from collector.doctor.finding import Finding, no, note, yes
from collector.errors import SettingsError
from collector.settings import Settings


def inspect_cluster(settings: Settings, environ: Mapping[str, str]) -> Iterator[Finding]:
    """One finding for the access, and one for each request that the watches need."""
    try:
        access = choose_access(settings, environ)
        if access is None:
            yield note("cluster", "Not asked: this is no pod with a service account, and no kubeconfig is named.")
            return
        node = choose_node_name(settings, environ)
    except SettingsError as error:
        yield no("cluster", error.cause, error.remedy)
        return
    yield yes("cluster", f"{access.server} by {access.origin}, for node {node}")
    from collector.kubernetes.permission_trials import try_permissions  # noqa: PLC0415 -- only where there is a cluster

    for trial in try_permissions(access, node, settings.kubernetes_peers):
        yield no(trial.subject, trial.cause, trial.remedy) if trial.cause else yes(trial.subject)
