"""What the kernel knows about a loaded program: run time, runs, and runs it skipped.

Layout: struct bpf_prog_info, include/uapi/linux/bpf.h. Run time and runs are counted only while BPF_ENABLE_STATS is
on (5.8; 20-50 ns a run); recursion_misses (5.12) always.
"""

from __future__ import annotations

import ctypes
import os
import struct
import time
from dataclasses import dataclass

from collector.errors import HoneyguideError
from collector.source.libbpf import Libbpf

INFO_BYTES = 232
RUN_COUNTS = struct.Struct("<QQQ")
RUN_COUNTS_OFFSET = 192
RUN_TIME = 0  # enum bpf_stats_type: BPF_STATS_RUN_TIME


@dataclass(frozen=True, slots=True)
class ProgramRuns:
    run_time_ns: int
    runs: int
    missed: int


def read_runs(libbpf: Libbpf, descriptor: int) -> ProgramRuns:
    """Of one program, since it was loaded; zeros from a kernel that does not tell."""
    info = ctypes.create_string_buffer(INFO_BYTES)
    size = ctypes.c_uint32(INFO_BYTES)
    libbpf.call("bpf_obj_get_info_by_fd", descriptor, info, ctypes.byref(size))
    return ProgramRuns(*RUN_COUNTS.unpack_from(info.raw, RUN_COUNTS_OFFSET))


class RunTimeStatistics:
    """Switches the kernel's run-time statistics on while it is open; the kernel switches them off when the last user closes."""

    def __init__(self, libbpf: Libbpf) -> None:
        self._libbpf = libbpf
        self._descriptor: int | None = None
        self._since_ns = 0
        self._before_ns = 0

    def on_ns(self) -> int:
        """How long they have been on, all together."""
        return self._before_ns + (time.monotonic_ns() - self._since_ns if self.on else 0)

    @property
    def on(self) -> bool:
        return self._descriptor is not None

    def switch_on(self) -> None:
        if self._descriptor is None:
            try:
                self._descriptor = int(self._libbpf.call("bpf_enable_stats", RUN_TIME))
                self._since_ns = time.monotonic_ns()
            except HoneyguideError as error:
                raise HoneyguideError(
                    f"Run-time statistics cannot be switched on: {error.cause}", "CAP_SYS_ADMIN is needed."
                ) from None

    def switch_off(self) -> None:
        if self._descriptor is not None:
            self._before_ns = self.on_ns()
            os.close(self._descriptor)
            self._descriptor = None
