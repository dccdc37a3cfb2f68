from __future__ import annotations

from pathlib import Path

import pytest

from collector.batch import Batch, Schema
from collector.settings import Settings
from collector.source.settings_for_kernel import KERNEL_SETTINGS, source_settings


def test_every_setting_that_manifests_may_use_exists() -> None:
    assert set(KERNEL_SETTINGS) <= set(Settings.model_fields)
    values = source_settings(Settings.model_validate({"max_connections": 2048, "dns_ports": (53, 5353)}), []).load.values
    assert values == {"max_connections": 2048, "max_udp_flows": 16384, "dns_ports": (53, 5353)}


def test_own_places_come_after_the_shipped_ones() -> None:
    settings = Settings.model_validate({"probe_path": "/own,/more"})
    assert source_settings(settings, [Path("/shipped")]).places == [Path("/shipped"), Path("/own"), Path("/more")]


@pytest.mark.parametrize(
    ("transport", "perf", "if_needed"), [("auto", False, True), ("ring", False, False), ("perf", True, False)]
)
def test_transport_is_forced_or_left_to_the_kernel(transport: str, perf: bool, if_needed: bool) -> None:
    settings = source_settings(Settings.model_validate({"transport": transport}), [])
    assert (settings.load.perf_buffer, settings.perf_if_needed) == (perf, if_needed)


def test_times_sizes_names_and_seeds_are_handed_on() -> None:
    def seed(schema: Schema) -> Batch:
        raise NotImplementedError

    given = Settings.model_validate(
        {"snapshot_interval": "1.5s", "ring_bytes": "2MiB", "probes": "tcp,udp", "disable": "udp", "program_statistics": True}
    )
    settings = source_settings(given, [], {"cgroups": seed})
    assert (settings.snapshot_interval_ns, settings.load.ring_bytes) == (1_500_000_000, 2 << 20)
    assert (settings.wanted, settings.disabled) == (frozenset({"tcp", "udp"}), frozenset({"udp"}))
    assert (settings.seeds, settings.statistics) == ({"cgroups": seed}, True)
