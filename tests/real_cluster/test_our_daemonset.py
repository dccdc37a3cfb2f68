"""`kubectl apply -k deploy/kubernetes` in a whole cluster: what the manifests ask for is given, and is enough."""

from __future__ import annotations

import urllib.error

import pytest
from our_daemonset import NAME, OurDaemonSet
from started_agent import AskedAgent

pytestmark = pytest.mark.end_to_end

CAPABILITIES = {1 << 39, 1 << 38, 1 << 12, 1 << 19, 1 << 2}  # BPF, PERFMON, NET_ADMIN, SYS_PTRACE, DAC_READ_SEARCH


def in_the_pod(daemonset: OurDaemonSet, *command: str) -> str:
    return daemonset.writer.kubectl("-n", NAME, "exec", f"daemonset/{NAME}", "--", *command)


def test_process_has_the_five_capabilities_and_no_more(daemonset: OurDaemonSet) -> None:
    """What is executed in a container gets what the container was given."""
    lines = dict(line.split(":", 1) for line in in_the_pod(daemonset, "cat", "/proc/self/status").splitlines())
    assert int(lines["CapEff"], 16) == int(lines["CapBnd"], 16) == sum(CAPABILITIES)
    assert (lines["NoNewPrivs"].strip(), lines["Seccomp"].strip()) == ("1", "2")


def test_root_file_system_cannot_be_written(daemonset: OurDaemonSet) -> None:
    assert "Read-only" in in_the_pod(daemonset, "sh", "-c", "touch /tmp/x 2>&1 || true")


def test_only_health_is_told_without_the_token(daemonset: OurDaemonSet) -> None:
    stranger = AskedAgent(daemonset.agent().address)
    assert stranger.get("/healthz")
    with pytest.raises(urllib.error.HTTPError, match="401"):
        stranger.get("/metrics")


def test_what_the_api_server_has_is_known_with_the_rights_of_the_manifests(daemonset: OurDaemonSet) -> None:
    watches = {one["resource"]: one for one in daemonset.agent().ask("/api/v1/health")["kubernetes"]}
    assert {name for name, one in watches.items() if one["state"] == "synced"} == {
        "pods",
        "services",
        "nodes",
        "replicasets",
        "jobs",
    }
    assert "no endpointslices in version v1" in watches["endpointslices"]["remedy"]


def test_pod_was_never_restarted(daemonset: OurDaemonSet) -> None:
    [container] = daemonset.pod()["status"]["containerStatuses"]
    assert container["restartCount"] == 0 and container["ready"]
