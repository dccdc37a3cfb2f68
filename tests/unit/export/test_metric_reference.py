import subprocess
import sys
from pathlib import Path

from collector.export.metric_reference import DocumentedInstrument, queried_names, reference
from collector.instruments import Instrument, InstrumentKind

IO = Instrument("honeyguide.tcp.io", InstrumentKind.COUNTER, "By", "TCP payload | all of it.")
RTT = Instrument("honeyguide.tcp.rtt", InstrumentKind.HISTOGRAM, "s", "Round trips.", (1.0,))
HEALTH = Instrument("honeyguide.health", InstrumentKind.GAUGE, "1", "1 when nothing was lost.")


def test_page_has_a_table_for_each_probe_and_the_agent_last() -> None:
    page = reference(
        [
            DocumentedInstrument(HEALTH),
            DocumentedInstrument(RTT, "tcp"),
            DocumentedInstrument(IO, "tcp", ("local", "peer"), ("network.io.direction",)),
        ]
    )
    head, tcp, agent = page.split("\n## ")[0], page.split("\n## ")[2], page.split("\n## ")[3]
    assert head.startswith("# Metrics")
    assert tcp.splitlines()[-2:] == [
        "| `honeyguide.tcp.rtt` | `honeyguide_tcp_rtt_seconds` | histogram | `s` |  | Round trips. |",
        r"| `honeyguide.tcp.io` | `honeyguide_tcp_io_bytes_total` | counter | `By` | *workload*, *peer*, `network.io.direction` |"
        r" TCP payload \| all of it. |",
    ]
    assert agent.startswith("The agent itself")
    assert "`honeyguide_health_ratio`" in agent


def test_queried_names_are_those_of_the_samples() -> None:
    assert queried_names([IO, RTT]) == {
        "target_info",
        "honeyguide_tcp_io_bytes_total",
        "honeyguide_tcp_rtt_seconds_bucket",
        "honeyguide_tcp_rtt_seconds_sum",
        "honeyguide_tcp_rtt_seconds_count",
    }


def test_committed_page_is_in_step_with_manifests_and_the_agents_table(project: Path) -> None:
    command = [sys.executable, str(project / "docs" / "build_metrics.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=project)
    assert done.returncode == 0, done.stderr
