from __future__ import annotations

import re
from pathlib import Path

import pytest

from collector.catalog.manifest import Manifest, parse_manifest
from collector.errors import ManifestError
from collector.instruments import DURATION_BUCKETS, InstrumentKind

SAMPLE = Path(__file__).resolve().parents[2] / "data/sample_probe/probe.toml"
HEAD = """
question = "What do these lines test?"
cost = "nothing"
oldest_kernel = "5.10"
"""
HOOK = """
[[hook]]
purpose = "ticks"
account = "ticks"
alternatives = ["tick"]
"""
RECORD = """
[[record]]
struct = "tick"
ring = "ticks"
account = "ticks"
"""
METRIC = """
[[metric]]
name = "sample.ticks"
kind = "counter"
unit = "{tick}"
help = "How many ticks there were."
record = "tick"
"""
WHOLE = HEAD + HOOK + RECORD + METRIC
ENDS = HOOK.replace("ticks", "ends", 1).replace('"tick"', '"end"')
WAYS = f"""ways = ["quick", "slow"]
{HEAD}{RECORD}{ENDS}{HOOK}way = "quick"
{HOOK.replace('"tick"', '"slow_tick"')}way = "slow"
"""


def read(text: str) -> Manifest:
    return parse_manifest(text, "probe.toml")


def test_sample_is_read_whole() -> None:
    manifest = read(SAMPLE.read_text())
    assert [metric.name for metric in manifest.metric] == ["sample.tick.bytes", "sample.tick.duration", "sample.bucket.bytes"]
    assert manifest.metric[0].where == {"event": ["started"], "last": False, "command": ["nginx"]}
    assert manifest.hook[1].optional
    assert manifest.record[1].idle is not None


def test_a_way_has_its_own_hooks_and_those_of_all() -> None:
    manifest = read(WAYS)
    programs = {way: [hook.alternatives[0] for hook in manifest.of_way(way).hook] for way in manifest.ways}
    assert programs == {"quick": ["end", "tick"], "slow": ["end", "slow_tick"]}


@pytest.mark.parametrize("way", ["quick", "slow"])
def test_a_way_alone_is_a_manifest_that_can_be_written_and_read(way: str) -> None:
    """A recording holds the manifest of what ran."""
    alone = read(WAYS).of_way(way)
    assert alone.ways == [way]
    assert Manifest.model_validate(alone.model_dump(mode="json", by_alias=True)) == alone


def test_histogram_without_buckets_takes_those_for_durations() -> None:
    text = WHOLE.replace('kind = "counter"', 'kind = "histogram"\nvalue = "duration"')
    instrument = read(text).metric[0].instrument()
    assert (instrument.kind, instrument.buckets) == (InstrumentKind.HISTOGRAM, DURATION_BUCKETS)


@pytest.mark.parametrize(
    ("text", "key", "says"),
    [
        (WHOLE + "color = 1", "metric.0.color", "Extra inputs"),
        ("color = 1\n" + WHOLE, "color", "Extra inputs"),
        (WHOLE.replace('cost = "nothing"', ""), "cost", "required"),
        (WHOLE.replace('cost = "nothing"', "cost = 3"), "cost", "string"),
        (WHOLE.replace('"What do these lines test?"', '"Why?"'), "question", "10 characters"),
        (WHOLE.replace('"5.10"', '"5.10-rc1"'), "oldest_kernel", "pattern"),
        (HEAD + RECORD + METRIC, "hook", "required"),
        (HEAD + HOOK + METRIC, "record", "required"),
        (WHOLE.replace('alternatives = ["tick"]', "alternatives = []"), "hook.0.alternatives", "at least 1"),
        (WHOLE.replace('alternatives = ["tick"]', 'alternatives = "tick"'), "hook.0.alternatives", "list"),
        (WHOLE.replace('ring = "ticks"\naccount = "ticks"', ""), "record.0", "where do its rows come from"),
        (WHOLE.replace('ring = "ticks"\n', 'ring = "ticks"\ncumulative = ["x"]\n'), "record.0", "need `key`"),
        (WHOLE.replace('ring = "ticks"\naccount = "ticks"', 'map = "x"\naccount = "ticks"'), "record.0", "goes with `ring`"),
        (WHOLE.replace('struct = "tick"', 'struct = "tick"\nstore = "elsewhere"'), "record.0.store", "'flows'"),
        (
            WHOLE.replace('struct = "tick"', 'struct = "tick"\nidle = { field = "at", after_seconds = 0 }'),
            "record.0.idle.after_seconds",
            "greater than 0",
        ),
        (WHOLE.replace('struct = "tick"', 'struct = "tick"\nsnapshot = { program = "walk" }'), "the whole", "'walk'"),
        (WHOLE.replace('name = "sample.ticks"', 'name = "Sample Ticks"'), "metric.0.name", "pattern"),
        (WHOLE.replace('kind = "counter"', 'kind = "summary"'), "metric.0.kind", "'counter'"),
        (WHOLE.replace('kind = "counter"', 'kind = "histogram"'), "metric.0", "needs `value`"),
        (WHOLE.replace('record = "tick"', 'record = "tock"'), "the whole", "struct = 'tock'"),
        (WHOLE + "buckets = [1, 2]", "metric.0", "belong to a histogram"),
        (WHOLE + 'identity = ["remote"]', "metric.0.identity.0", "'local' or 'peer'"),
        (WHOLE + "where = { event = 1 }", "metric.0.where.event", "boolean"),
        (WHOLE + 'where = { event = "yes" }', "metric.0.where.event", "boolean"),
        (WHOLE + "where = { event = [] }", "metric.0.where.event", "boolean"),
        (WHOLE + "where = { event = [1.5] }", "metric.0.where.event", "boolean"),
        (WHOLE + 'value = "a"\nseries = [{ value = "b" }]', "metric.0", "either `value` or `series`"),
        (WHOLE + 'series = [{ value = "b", name = "c" }]', "metric.0.series.0.name", "Extra inputs"),
        (WHOLE + METRIC, "the whole", "metric.name = 'sample.ticks' is there twice"),
        (WHOLE + RECORD, "the whole", "record.struct = 'tick' is there twice"),
        (WHOLE + RECORD.replace('struct = "tick"', 'struct = "tock"'), "the whole", "record.ring = 'ticks' is there twice"),
        (WHOLE + HOOK, "the whole", "hook.purpose = 'ticks' is there twice"),
        (WHOLE + "\n[maps]\nticks = 3", "maps.ticks", "string"),
        (WHOLE.replace('"tick"]', '"tick"]\nway = "quick"'), "the whole", "`ways` does not name 'quick'"),
        ('ways = ["quick"]' + WHOLE, "the whole", "no [[hook]] has way = 'quick'"),
        (WAYS + HOOK + 'way = "quick"', "the whole", "hook.purpose = 'ticks' is there twice"),
    ],
)
def test_wrong_key_is_refused_by_file_and_place(text: str, key: str, says: str) -> None:
    with pytest.raises(ManifestError) as refusal:
        read(text)
    assert re.match(rf"probe\.toml:\d+: {re.escape(key)}", refusal.value.cause)
    assert says in refusal.value.cause


@pytest.mark.parametrize("buckets", ["[2, 1]", "[1, 1]", "[1, inf]", "[nan]", "[-inf, 0]"])
def test_buckets_that_do_not_ascend_are_refused(buckets: str) -> None:
    text = WHOLE.replace('kind = "counter"', 'kind = "histogram"\nvalue = "duration"')
    with pytest.raises(ManifestError, match=r"metric\.0.*must ascend"):
        read(text + f"buckets = {buckets}")


@pytest.mark.parametrize(
    "text", ["question = ", "question", "\0", "a = 1\na = 2", "[x", "a = " + "[" * 5000, "a = 1" + "0" * 5000, 'a = "\\x"']
)
def test_what_is_not_toml_is_refused_with_the_file(text: str) -> None:
    with pytest.raises(ManifestError, match=r"^probe\.toml is not valid TOML"):
        read(text)


def test_number_of_further_mistakes_is_told() -> None:
    with pytest.raises(ManifestError, match=r"\(\d+ more\)"):
        read('question = "short"\nextra = 1')
