from __future__ import annotations

import gc

import pytest

from collector.errors import HoneyguideError
from collector.source.libbpf import load_libbpf
from collector.source.program_object import ProgramObject


def test_library_can_warn_after_its_last_user_is_gone() -> None:
    """It keeps the address of our function; a function that is gone would end the process."""
    kept = load_libbpf()
    load_libbpf()
    gc.collect()
    with pytest.raises(HoneyguideError, match="libbpf cannot open the object"):
        ProgramObject("nonsense", kept).open(b"no object")


def test_library_that_is_not_there_is_named_each_time() -> None:
    for _ in range(2):
        with pytest.raises(HoneyguideError, match=r"^libnothing\.so\.9 cannot be loaded"):
            load_libbpf("libnothing.so.9")
