"""Drains per-CPU perf ring buffers (kernels without BPF ring buffers, bcc probes): the same rows as `RingBuffer` gives.

Layout (perf_event_open(2), MMAP layout): a control page with data_head and data_tail, then the data area. Losses are
counted by the program, which sees the output helper fail.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import platform
from collections.abc import Sequence

import numpy as np

from collector.batch import Rows
from collector.errors import LoadError
from collector.source.libbpf import Libbpf
from collector.source.perf_records import parse_records, record_layout, unwrap
from collector.source.program_object import KernelMap
from collector.source.wake_ups import SHARE_THAT_WAKES

SYSTEM_CALL = {"x86_64": 298, "aarch64": 241, "ppc64le": 319, "s390x": 331, "riscv64": 241}
TYPE_SOFTWARE, CONFIG_BPF_OUTPUT, SAMPLE_RAW = 1, 10, 1 << 10
WATERMARK_BIT = 1 << 14
CLOSE_ON_EXEC = 1 << 3
ENABLE = 0x2400
HEAD_OFFSET, TAIL_OFFSET = 1024, 1032


class EventAttributes(ctypes.Structure):
    """struct perf_event_attr, version 1 (72 bytes)."""

    _fields_ = (
        ("type", ctypes.c_uint32),
        ("size", ctypes.c_uint32),
        ("config", ctypes.c_uint64),
        ("sample_period", ctypes.c_uint64),
        ("sample_type", ctypes.c_uint64),
        ("read_format", ctypes.c_uint64),
        ("flags", ctypes.c_uint64),
        ("wakeup_watermark", ctypes.c_uint32),
        ("bp_type", ctypes.c_uint32),
        ("config1", ctypes.c_uint64),
        ("config2", ctypes.c_uint64),
    )


class PerfBuffer:
    """The buffers of all CPUs behind one perf event array. size: bytes per CPU, a power of two of at least one page."""

    def __init__(self, libbpf: Libbpf, kernel_map: KernelMap, size: int, dtype: np.dtype[np.void]) -> None:
        self._rings: list[ProcessorRing] = []
        self.decoded = 0
        self.undecodable = 0
        self.lost = 0
        self.fill = 0.0
        self.pressure = 0.0  # the kernel wakes whoever waits for `descriptors`, however the program sends
        try:
            for processor in online_processors():
                ring = ProcessorRing(processor, size, dtype)
                self._rings.append(ring)
                key, value = ctypes.c_uint32(processor), ctypes.c_uint32(ring.descriptor)
                libbpf.call("bpf_map_update_elem", kernel_map.file_descriptor, ctypes.byref(key), ctypes.byref(value), 0)
        except BaseException:
            self.close()
            raise

    def drain(self) -> Rows:
        """All complete records; in order per CPU, CPUs one after the other."""
        rows = np.concatenate([ring.drain() for ring in self._rings])
        self.decoded += len(rows)
        self.undecodable = sum(ring.undecodable for ring in self._rings)
        self.lost = sum(ring.lost for ring in self._rings)
        self.fill = max(ring.fill for ring in self._rings)
        return rows

    @property
    def descriptors(self) -> list[int]:
        return [ring.descriptor for ring in self._rings]

    def close(self) -> None:
        for ring in self._rings:
            ring.close()


class ProcessorRing:
    """One CPU's perf event and its mapped buffer."""

    def __init__(self, processor: int, size: int, dtype: np.dtype[np.void]) -> None:
        self._size = size
        self._layout = record_layout(dtype)
        self.undecodable = 0
        self.lost = 0
        self.fill = 0.0
        self.descriptor = open_event(processor, size)
        try:
            self._pages = mmap.mmap(self.descriptor, mmap.PAGESIZE + size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        except OSError as error:
            os.close(self.descriptor)
            remedy = "Give the agent CAP_IPC_LOCK, raise kernel.perf_event_mlock_kb, or lower HONEYGUIDE_RING_BYTES."
            raise LoadError(f"The perf buffer of CPU {processor} cannot be mapped: {error.strerror}.", remedy) from None
        self._position = np.frombuffer(self._pages, np.uint64, count=2, offset=HEAD_OFFSET)
        fcntl.ioctl(self.descriptor, ENABLE, 0)

    def drain(self) -> Rows:
        head, tail = int(self._position[0]), int(self._position[1])
        self.fill = (head - tail) / self._size
        content = unwrap(self._pages, mmap.PAGESIZE, self._size, tail, head)
        rows, undecodable, lost = parse_records(content, self._layout)
        self.lost += lost
        self.undecodable += undecodable
        self._position[1] = head
        return rows

    def close(self) -> None:
        del self._position
        self._pages.close()
        os.close(self.descriptor)


def online_processors(path: str = "/sys/devices/system/cpu/online") -> Sequence[int]:
    """Numbers out of a list such as 0-3,8."""
    with open(path) as file:  # noqa: PTH123 -- sysfs, read once
        ranges = [part.split("-") for part in file.read().strip().split(",")]
    return [number for limits in ranges for number in range(int(limits[0]), int(limits[-1]) + 1)]


def open_event(processor: int, size: int) -> int:
    """A file descriptor that bpf_perf_event_output can write to on that CPU; a wake-up for each quarter that was written."""
    number = SYSTEM_CALL.get(platform.machine())
    if number is None:
        raise LoadError(f"perf buffers are not supported on {platform.machine()}.", "Use HONEYGUIDE_TRANSPORT=ring.")
    attributes = EventAttributes(
        type=TYPE_SOFTWARE, size=ctypes.sizeof(EventAttributes), config=CONFIG_BPF_OUTPUT, sample_period=1,
        sample_type=SAMPLE_RAW, flags=WATERMARK_BIT, wakeup_watermark=size // SHARE_THAT_WAKES,
    )  # fmt: skip
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.syscall(number, ctypes.byref(attributes), -1, processor, -1, CLOSE_ON_EXEC)
    if descriptor < 0:
        reason = os.strerror(ctypes.get_errno())
        raise LoadError(f"perf_event_open on CPU {processor}: {reason}.", "Give the agent CAP_PERFMON (or CAP_SYS_ADMIN).")
    return int(descriptor)
