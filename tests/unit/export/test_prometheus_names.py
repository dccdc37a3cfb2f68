import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.validation import METRIC_LABEL_NAME_RE, METRIC_NAME_RE

from collector.export.prometheus_names import family_name, label_name, sample_names
from collector.instruments import Instrument, InstrumentKind

COUNTER, GAUGE, HISTOGRAM = InstrumentKind.COUNTER, InstrumentKind.GAUGE, InstrumentKind.HISTOGRAM


@pytest.mark.parametrize(
    ("name", "kind", "unit", "queried"),
    [
        ("honeyguide.tcp.io", COUNTER, "By", "honeyguide_tcp_io_bytes_total"),
        ("honeyguide.tcp.connections.opened", COUNTER, "{connection}", "honeyguide_tcp_connections_opened_total"),
        ("honeyguide.process.cpu", COUNTER, "s", "honeyguide_process_cpu_seconds_total"),
        ("honeyguide.tcp.connections.open", GAUGE, "{connection}", "honeyguide_tcp_connections_open"),
        ("honeyguide.ring.fill", GAUGE, "1", "honeyguide_ring_fill_ratio"),
        ("cpu.ratio", GAUGE, "1", "cpu_ratio"),
        ("queue.length", InstrumentKind.UPDOWNCOUNTER, "1", "queue_length"),
        ("dns.lookup.duration", HISTOGRAM, "s", "dns_lookup_duration_seconds_bucket"),
        ("wait.seconds", HISTOGRAM, "s", "wait_seconds_bucket"),
        ("requests.total", COUNTER, "1", "requests_total"),
        ("disk.speed", GAUGE, "By/s", "disk_speed_bytes_per_second"),
        ("packets.rate", GAUGE, "{packet}/s", "packets_rate_per_second"),
        ("odd..name-here", GAUGE, "", "odd_name_here"),
        ("9.lives", GAUGE, "", "_9_lives"),
        ("strange", GAUGE, "furlong", "strange_furlong"),
    ],
)
def test_name_follows_the_compatibility_rules(name: str, kind: InstrumentKind, unit: str, queried: str) -> None:
    assert queried == sample_names(family_name(Instrument(name, kind, unit, "")), kind)[0]


@pytest.mark.parametrize(
    ("attribute", "label"),
    [
        ("service.peer.name", "service_peer_name"),
        ("le", "attribute_le"),
        ("__name__", "key_name_"),
        ("1st", "key_1st"),
        ("_private", "key_private"),
        ("ünï-cöde", "key_n_c_de"),
        ("", "attribute_"),
        ("...", "attribute_"),
    ],
)
def test_label_is_legal_and_not_reserved(attribute: str, label: str) -> None:
    assert label_name(attribute) == label


@given(st.text(), st.sampled_from(InstrumentKind), st.text(max_size=6))
def test_any_name_and_unit_become_a_legal_name(name: str, kind: InstrumentKind, unit: str) -> None:
    family = family_name(Instrument(name, kind, unit, ""))
    assert all(METRIC_NAME_RE.match(sample) for sample in sample_names(family, kind))


@given(st.text())
def test_any_attribute_becomes_a_legal_label(attribute: str) -> None:
    label = label_name(attribute)
    assert METRIC_LABEL_NAME_RE.match(label)
    assert not label.startswith("__")
