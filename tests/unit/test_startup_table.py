"""What `honeyguide run` prints when it has started."""

from __future__ import annotations

from collector.probe_status import HookStatus, ProbeState, ProbeStatus
from collector.startup_table import WIDTH, describe_start

ADDRESS = "http://127.0.0.1:9464"
TCP = ProbeStatus("tcp", "?", ProbeState.RUNNING, (HookStatus("states", "state_change", "tp_btf/inet_sock_set_state"),))
REFUSED = ProbeStatus("dns", "?", ProbeState.REFUSED, cause="No room. " * 20, remedy="Make room.")
CLUSTER = "node node-1; pods, services from https://10.0.0.1:443 by service account"


def test_who_is_asked_about_pods_has_a_line_between_the_probes_and_the_address() -> None:
    lines = describe_start([TCP], ADDRESS, 1.25, CLUSTER).splitlines()
    assert lines[:5] == [
        "  tcp  running   tp_btf/inet_sock_set_state",
        "",
        f"Kubernetes: {CLUSTER}",
        "",
        f"Serving on {ADDRESS}. First data after 1.2 s.",
    ]


def test_without_kubernetes_nothing_is_said_of_it() -> None:
    text = describe_start([TCP], ADDRESS, 1.25)
    assert "Kubernetes" not in text
    assert text.splitlines()[1:3] == ["", f"Serving on {ADDRESS}. First data after 1.2 s."]


def test_replay_has_no_time_to_first_data() -> None:
    assert f"Serving on {ADDRESS}.\n" in describe_start([TCP], ADDRESS, None)


def test_refusal_is_broken_into_lines_with_the_remedy_below() -> None:
    lines = describe_start([REFUSED], ADDRESS, None).splitlines()
    refusal = lines[: lines.index("")]
    assert refusal[0].startswith("  dns  refused   No room.")
    assert refusal[-1].strip() == "Make room."
    assert len(refusal) > 2
    assert all(len(line) <= WIDTH for line in refusal)
