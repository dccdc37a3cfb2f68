"""Reads whole kernel maps: in batches into NumPy arrays, per-CPU values included."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterable
from typing import Any

import numpy as np

from collector.batch import Column, Rows
from collector.source.libbpf import Libbpf, LibbpfError
from collector.source.program_object import KernelMap, batch_options

BATCH = 4096
READ_BYTES = 1 << 16
# 3e87f192b405 (5.14) taught hash maps to give and forget in one step; before, what is counted in between is lost.
NOT_IN_ONE_STEP = (errno.EINVAL, errno.EOPNOTSUPP, 524)  # 524: the kernel's own ENOTSUPP


class MapReader:
    """Reads one hash map. The kernel may be writing meanwhile; an element is seen at most once per batch walk."""

    def __init__(self, libbpf: Libbpf, kernel_map: KernelMap) -> None:
        self._libbpf = libbpf
        self.map = kernel_map
        self._processors = libbpf.call("libbpf_num_possible_cpus") if kernel_map.per_cpu else 1
        # the kernel rounds each CPU's value up to 8 bytes
        self._value_size = (kernel_map.value_size + 7) // 8 * 8 if kernel_map.per_cpu else kernel_map.value_size

    def read(self) -> tuple[Column, Column]:
        """(keys, values) as bytes: shapes (n, key size) and (n, CPUs, value size)."""
        keys, values = [], []
        for key_part, value_part in self._batches():
            keys.append(key_part)
            values.append(value_part)
        if not keys:
            keys.append(np.empty((0, self.map.key_size), np.uint8))
            values.append(np.empty((0, self._processors, self._value_size), np.uint8))
        return np.concatenate(keys), np.concatenate(values)

    def _batches(self) -> Iterable[tuple[Column, Column]]:
        """BPF_MAP_LOOKUP_BATCH (5.6): whole buckets at a time; ENOENT marks the end, ENOSPC a bucket that did not fit."""
        token = ctypes.create_string_buffer(max(self.map.key_size, 8))
        first, size = True, BATCH
        while True:
            keys = np.empty((size, self.map.key_size), np.uint8)
            values = np.empty((size, self._processors, self._value_size), np.uint8)
            count = ctypes.c_uint32(size)
            try:
                self._libbpf.call(
                    "bpf_map_lookup_batch", self.map.file_descriptor, None if first else token, token,
                    keys.ctypes.data, values.ctypes.data, ctypes.byref(count), ctypes.byref(batch_options()),
                )  # fmt: skip
                ended = False
            except LibbpfError as error:
                if error.number == errno.ENOSPC:
                    size *= 2
                    continue
                if error.number != errno.ENOENT:
                    raise
                ended = True
            if count.value:
                yield keys[: count.value], values[: count.value]
            if ended:
                return
            first = False

    def remove(self, key: bytes) -> bytes | None:
        """Takes one entry out and returns its last value (of all CPUs); None when it was gone already."""
        value = ctypes.create_string_buffer(self._value_size * self._processors)
        try:
            self._take_out(key, value)
        except LibbpfError as error:
            if error.number == errno.ENOENT:
                return None
            raise
        return value.raw

    def _take_out(self, key: bytes, value: ctypes.Array[ctypes.c_char]) -> None:
        descriptor = self.map.file_descriptor
        try:
            self._libbpf.call("bpf_map_lookup_and_delete_elem", descriptor, key, value)
        except LibbpfError as error:
            if error.number not in NOT_IN_ONE_STEP:
                raise
            self._libbpf.call("bpf_map_lookup_elem", descriptor, key, value)
            self._libbpf.call("bpf_map_delete_elem", descriptor, key)


def read_array(libbpf: Libbpf, kernel_map: KernelMap, dtype: np.dtype[np.void]) -> Rows:
    """A per-CPU array summed over CPUs, field by field: shape (max_entries,), the dtype's fields must be numbers."""
    processors = libbpf.call("libbpf_num_possible_cpus")
    buffer = np.zeros(processors, dtype)
    result = np.zeros(kernel_map.max_entries, dtype)
    for index in range(kernel_map.max_entries):
        key = ctypes.c_uint32(index)
        libbpf.call("bpf_map_lookup_elem", kernel_map.file_descriptor, ctypes.byref(key), buffer.ctypes.data)
        for name in dtype.names or ():
            result[name][index] = buffer[name].sum()
    return result


def read_iterator(libbpf: Libbpf, link_descriptor: int, dtype: np.dtype[Any]) -> Rows:
    """Runs an iterator once and returns what it wrote with bpf_seq_write, one row per record."""
    descriptor = libbpf.call("bpf_iter_create", link_descriptor)
    try:
        pieces = []
        while piece := _read_some(descriptor):
            pieces.append(piece)
    finally:
        os.close(descriptor)
    content = b"".join(pieces)
    return np.frombuffer(content, dtype=dtype, count=len(content) // dtype.itemsize)


def _read_some(descriptor: int) -> bytes:
    while True:
        try:
            return os.read(descriptor, READ_BYTES)
        except BlockingIOError:
            continue  # EAGAIN: the iterator used up its turn (a million objects), bpf_iter.c
