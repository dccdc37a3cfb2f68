from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from collector.catalog.btf import Btf
from collector.catalog.columns import check_columns
from collector.catalog.elf import read_section
from collector.catalog.layout import StructReader
from collector.catalog.manifest import Manifest
from collector.errors import ManifestError

SAMPLE = Path(__file__).resolve().parents[2] / "data/sample_probe"
READER = StructReader(Btf(read_section((SAMPLE / "probe.bpf.o").read_bytes(), ".BTF")), None)
SCHEMAS = {"tick": READER.schema("sample", "tick"), "bucket": READER.joined_schema("sample", "bucket")[0]}


def with_metric(**changes: Any) -> Manifest:
    """The sample's manifest with one metric over `tick`, changed."""
    content = tomllib.loads((SAMPLE / "probe.toml").read_text())
    content["metric"] = [{**content["metric"][0], **changes}]
    return Manifest.model_validate(content)


def with_record(**changes: Any) -> Manifest:
    content = tomllib.loads((SAMPLE / "probe.toml").read_text())
    content["record"][0] |= changes
    del content["metric"]
    return Manifest.model_validate(content)


@pytest.mark.parametrize(
    "changes",
    [
        {"value": ""},
        {"value": "duration", "where": {"duration_new": True, "first_seen": False}},
        {"value": "level", "where": {"level": [2], "weather": ["sunny", 2], "plain": [7]}},
        {"where": {"local": [3], "command": ["redis-server"]}},
        {"known": ["bytes", "peer"], "attributes": {"a.b": "command", "c.d": "peer", "e.f": "last"}},
    ],
)
def test_columns_that_exist_pass(changes: dict[str, Any]) -> None:
    check_columns("sample", with_metric(**changes), SCHEMAS)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"value": "byte"}, "value: there is no column 'byte'"),
        ({"value": "plain_increase"}, "value: there is no column 'plain_increase'"),
        ({"value": "remote_address"}, "value: 'remote_address' is not a number"),
        ({"value": "ports"}, "value: 'ports' is not a number"),
        ({"known": ["command"]}, "known: 'command' is not a number"),
        ({"attributes": {"a.b": "grid"}}, "attributes: 'grid' is not one value"),
        ({"attributes": {"a.b": "weather_name"}}, "attributes: there is no column 'weather_name'"),
        ({"where": {"opened": True}}, "where: there is no column 'opened'"),
        ({"where": {"remote_address": True}}, "where: 'remote_address' is not one number"),
        ({"where": {"event": ["begun"]}}, "event is never 'begun'; it is one of started, ended"),
        ({"where": {"plain": ["many"]}}, "plain is never 'many'; it is a number"),
        ({"value": "", "series": [{"value": "bytes", "where": {"event": ["gone"]}}]}, "event is never 'gone'"),
        ({"value": "", "series": [{"value": "bytes"}, {"value": "bits"}]}, "no column 'bits'"),
    ],
)
def test_metric_that_cannot_work_is_refused_by_name_and_key(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ManifestError) as refusal:
        check_columns("sample", with_metric(**changes), SCHEMAS)
    assert refusal.value.cause.startswith("sample: metric sample.tick.bytes: ")
    assert says in refusal.value.cause


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"key": "identity"}, "key: there is no column 'identity'"),
        ({"key": "ports"}, "key: 'ports' is not one number"),
        ({"born": "command"}, "born: 'command' is not a whole number"),
        ({"cumulative": ["bytes", "last"]}, "cumulative: 'last' is not a whole number"),
        ({"once": ["started_at"]}, "once: there is no column 'started_at'"),
        ({"idle": {"field": "seen_at", "after_seconds": 1}}, "idle.field: there is no column 'seen_at'"),
    ],
)
def test_record_that_cannot_be_counted_is_refused_by_name_and_key(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ManifestError) as refusal:
        check_columns("sample", with_record(**changes), SCHEMAS)
    assert refusal.value.cause.startswith(f"sample: record tick: {says}")


def test_increases_exist_only_for_records_that_are_joined() -> None:
    manifest = with_metric(value="bytes_increase", where={}, known=[])
    record = manifest.record[0].model_copy(update={"cumulative": [], "once": []})
    with pytest.raises(ManifestError, match="no column 'bytes_increase'"):
        check_columns("sample", manifest.model_copy(update={"record": [record]}), SCHEMAS)


def test_metrics_of_derived_records_are_left_to_their_decoder() -> None:
    check_columns("sample", with_metric(value="whatever_the_decoder_makes"), {})
