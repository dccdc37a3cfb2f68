from __future__ import annotations

import errno
import os

import numpy as np
import pytest
from hash_map import HashMap

from collector.source import map_reader
from collector.source.libbpf import LibbpfError
from collector.source.map_reader import MapReader
from collector.source.program_object import KernelMap

HASH, PERCPU_HASH = 1, 5


def entry(number: int, processors: int = 1) -> tuple[bytes, bytes]:
    return number.to_bytes(4, "little"), b"".join((number + 100 * one).to_bytes(8, "little") for one in range(processors))


def reader(kernel: HashMap, value_size: int = 8) -> MapReader:
    kind = HASH if kernel.processors == 1 else PERCPU_HASH
    return MapReader(kernel.libbpf(), KernelMap("flows", 3, kind, 4, value_size, 64))


def read(kernel: HashMap) -> dict[int, list[int]]:
    keys, values = reader(kernel).read()
    assert keys.shape[1:] == (4,)
    assert values.shape[1:] == (kernel.processors, 8)
    numbers = np.ascontiguousarray(keys).view("<u4").reshape(-1)
    return {int(key): value.view("<u8").reshape(-1).tolist() for key, value in zip(numbers, values, strict=True)}


def test_empty_map_is_no_entries() -> None:
    assert read(HashMap([])) == {}
    assert read(HashMap([[], []])) == {}


def test_walk_over_many_batches_finds_every_entry_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(map_reader, "BATCH", 4)
    kernel = HashMap([[entry(3 * bucket + one) for one in range(3)] for bucket in range(7)])
    assert read(kernel) == {number: [number] for number in range(21)}
    assert len(kernel.asked) == 7


def test_bucket_larger_than_the_batch_makes_the_batch_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(map_reader, "BATCH", 2)
    kernel = HashMap([[entry(0)], [entry(number) for number in range(1, 8)], [entry(8)]])
    assert sorted(read(kernel)) == list(range(9))
    assert kernel.asked[1:4] == [2, 4, 8]


def test_values_of_all_processors_are_there() -> None:
    assert read(HashMap([[entry(1, 3)], [entry(2, 3)]], processors=3)) == {1: [1, 101, 201], 2: [2, 102, 202]}


def test_value_of_a_processor_is_rounded_up_to_eight_bytes() -> None:
    kernel = HashMap([[entry(1, 2)]], processors=2)
    assert reader(kernel, value_size=5).read()[1].shape == (1, 2, 8)


def test_other_errors_are_not_taken_for_the_end() -> None:
    with pytest.raises(LibbpfError) as failure:
        read(HashMap([[entry(1)]], error=errno.EPERM))
    assert failure.value.number == errno.EPERM


@pytest.mark.parametrize("one_step", [True, False])
def test_removed_entry_gives_its_last_value_also_on_old_kernels(one_step: bool) -> None:
    kernel = HashMap([[entry(1), entry(2)]], one_step=one_step)
    assert reader(kernel).remove(entry(1)[0]) == entry(1)[1]
    assert read(kernel) == {2: [2]}
    assert reader(kernel).remove(entry(1)[0]) is None


def test_failing_removal_is_an_error() -> None:
    with pytest.raises(LibbpfError, match=os.strerror(errno.EPERM)):
        reader(HashMap([], error=errno.EPERM)).remove(b"1234")
