from __future__ import annotations

import pytest
from recordings import SAMPLE

from collector.catalog.manifest import Hook
from collector.errors import LoadError
from collector.source.hook_choice import check_settings, choose_programs, has_only_trampolines
from collector.source.loaded_probe import LoadSettings

STATE = Hook(purpose="state", account="a", alternatives=["tracepoint", "fentry", "kprobe"])
OWNER = Hook(purpose="owner", account="b", alternatives=["iterator"], optional=True)
CANDIDATES = {"state": ["tracepoint", "fentry", "kprobe"], "owner": ["iterator"]}


def choose(*refused: str, hooks: tuple[Hook, ...] = (STATE, OWNER)) -> dict[str, str]:
    return choose_programs("tcp", hooks, CANDIDATES, lambda _, program: f"no {program} here" if program in refused else "")


def test_first_alternative_that_loads_is_taken() -> None:
    assert choose() == {"state": "tracepoint", "owner": "iterator"}
    assert choose("tracepoint", "fentry") == {"state": "kprobe", "owner": "iterator"}


def test_later_alternatives_are_not_tried() -> None:
    tried = []
    choose_programs("tcp", [STATE], CANDIDATES, lambda _, program: tried.append(program) or "")  # type: ignore[func-returns-value]
    assert tried == ["tracepoint"]


def test_optional_hook_that_does_not_load_is_left_out() -> None:
    assert choose("iterator") == {"state": "tracepoint"}


def test_hook_that_must_be_names_every_reason() -> None:
    with pytest.raises(LoadError, match=r"^tcp: no way to see state: no tracepoint here \| no fentry here \| no kprobe here"):
        choose("tracepoint", "fentry", "kprobe")


def test_probe_without_any_hook_left_is_refused() -> None:
    with pytest.raises(LoadError, match="none of its hooks can be attached: no iterator here"):
        choose("iterator", hooks=(OWNER,))


def test_settings_that_the_manifest_needs_are_there() -> None:
    check_settings(SAMPLE, LoadSettings(values={"max_connections": 1024, "dns_ports": (53,)}))


def test_unknown_setting_is_refused_with_those_there_are() -> None:
    with pytest.raises(LoadError, match=r"fills maps\.buckets from 'max_connections'") as refusal:
        check_settings(SAMPLE, LoadSettings(values={"dns_ports": (53,), "max_udp_flows": 7}))
    assert refusal.value.remedy == "There are: max_udp_flows."


def test_map_cannot_be_sized_by_a_list() -> None:
    with pytest.raises(LoadError, match=r"fills maps\.buckets"):
        check_settings(SAMPLE, LoadSettings(values={"max_connections": (1, 2), "dns_ports": (53,)}))


def test_hooks_that_only_a_trampoline_can_serve_are_told_apart() -> None:
    hooks = (Hook(purpose="calls", alternatives=["enter", "enter_by_kprobe"]), Hook(purpose="ends", alternatives=["leave"]))
    sections = {"enter": "fentry/vfs_unlink", "enter_by_kprobe": "kprobe/vfs_unlink", "leave": "fexit/vfs_unlink"}
    assert has_only_trampolines(hooks, sections)
    assert not has_only_trampolines(hooks[:1], sections)
