from __future__ import annotations

from dataclasses import replace

import pytest
from recordings import SAMPLE

from collector.catalog.manifest import Hook
from collector.catalog.probe_folder import Probe
from collector.errors import LoadError
from collector.settings import Settings
from collector.source.forced_hooks import force_hooks

STATE = Hook(purpose="state", account="a", alternatives=["state_traced", "state_entered", "state_probed"])
WAYS = {"state_entered": "at entry", "state_probed": "at a probe"}
OWNER = Hook(purpose="owner", account="b", alternatives=["read_owner"], optional=True)
SECTIONS = {
    "state_traced": "tp_btf/state",
    "state_entered": "fentry/state",
    "state_probed": "kprobe/state",
    "read_owner": "iter.s/task",
}


@pytest.fixture
def probe() -> Probe:
    return replace(SAMPLE, name="tcp", manifest=SAMPLE.manifest.model_copy(update={"hook": [STATE, OWNER]}))


def alternatives(probe: Probe, *words: str) -> list[list[str]]:
    return [hook.alternatives for hook in force_hooks(probe, SECTIONS, words).manifest.hook]


@pytest.mark.parametrize("word", ["kprobe", "state_probed"])
def test_a_kind_or_a_program_leaves_only_that_alternative(probe: Probe, word: str) -> None:
    assert alternatives(probe, word) == [["state_probed"], ["read_owner"]]


def test_of_several_the_order_of_the_manifest_stays(probe: Probe) -> None:
    assert alternatives(probe, "kprobe", "tp_btf") == [["state_traced", "state_probed"], ["read_owner"]]


def test_nothing_asked_for_changes_nothing(probe: Probe) -> None:
    assert force_hooks(probe, SECTIONS, ()) is probe


def test_what_is_asked_for_must_be_there_even_if_it_was_optional(probe: Probe) -> None:
    assert [hook.optional for hook in force_hooks(probe, SECTIONS, ["iter"]).manifest.hook] == [False, False]
    assert [hook.optional for hook in force_hooks(probe, SECTIONS, ["kprobe"]).manifest.hook] == [False, True]


def test_word_that_fits_nothing_is_refused_with_what_there_is(probe: Probe) -> None:
    with pytest.raises(LoadError, match=r"^tcp: `hooks` asks for 'kproble'") as refusal:
        force_hooks(probe, SECTIONS, ["kproble"])
    assert "state_probed (kprobe)" in refusal.value.remedy


def test_a_way_is_named_or_found_by_what_only_it_has(probe: Probe) -> None:
    hooks = [STATE.model_copy(update={"alternatives": [program], "way": way}) for program, way in WAYS.items()]
    manifest = probe.manifest.model_copy(update={"hook": hooks, "ways": list(WAYS.values())})
    found = {
        word: force_hooks(replace(probe, manifest=manifest), SECTIONS, [word]).manifest.ways for word in ("at_entry", "kprobe")
    }
    assert found == {"at_entry": ["at entry"], "kprobe": ["at a probe"]}


def test_setting_names_a_probe_and_may_come_as_text_or_table() -> None:
    wanted = {"tcp": ("kprobe",), "udp": ("count_sent_fentry", "fentry")}
    for value in ("tcp=kprobe,udp=count_sent_fentry,udp=fentry", {"tcp": "kprobe", "udp": ["count_sent_fentry", "fentry"]}):
        assert Settings.model_validate({"hooks": value}).forced_hooks == wanted


@pytest.mark.parametrize("value", ["kprobe", "tcp=", "tcp=a b", "Tcp=kprobe"])
def test_setting_of_another_form_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="not probe=kind"):
        Settings.model_validate({"hooks": value})
