"""What the bcc compiler process left: loaded programs and maps by descriptor, attached and closed from here."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from collector.errors import LoadError
from collector.source.libbpf import Libbpf, LibbpfError
from collector.source.perf_link import attach_kernel_function, attach_tracepoint, attach_user_function
from collector.source.program_object import KernelMap

MAP_INFO = struct.Struct("<IIIII")  # struct bpf_map_info: type, id, key_size, value_size, max_entries
PROGRAM_INFO_BYTES, BTF_ID_OFFSET = 232, 128
BTF_INFO = struct.Struct("<QIIQII")  # struct bpf_btf_info: btf, btf_size, id, name, name_len, kernel_btf
BTF_BYTES_MAX = 1 << 24


@dataclass(frozen=True, slots=True)
class BccProgram:
    """descriptor: -1 when the kernel refused it, then refusal says why. places: of user functions, (file, offset,
    offset of the counter that switches it on or 0)."""

    section: str
    descriptor: int
    refusal: str = ""
    tracepoint: int = 0
    places: tuple[tuple[str, int, int], ...] = ()


@dataclass(slots=True)
class BccObject:
    """Owns the descriptors. maps: name -> descriptor. seconds, peak_kib: what compiling took."""

    name: str
    libbpf: Libbpf
    known: Mapping[str, BccProgram]
    maps: Mapping[str, int]
    seconds: float = 0.0
    peak_kib: int = 0
    events: list[int] = field(default_factory=list)

    def section(self, program: str) -> str:
        return self.known[program].section

    def refusal(self, program: str) -> str:
        """'' when the program was loaded and can be attached (tried, and taken away again), else why not."""
        known = self.known[program]
        if known.descriptor < 0:
            return known.refusal
        before = len(self.events)
        try:
            self.attach(program)
        except LoadError as error:
            return error.cause
        finally:
            for event in self.events[before:]:
                os.close(event)
            del self.events[before:]
        return ""

    def attach(self, program: str) -> None:
        """LoadError when the kernel is against it."""
        known = self.known[program]
        if known.descriptor < 0:
            raise LoadError(f"{self.name}: the kernel refused {program}: {known.refusal}")
        kind, _, target = known.section.partition("/")
        if kind == "tracepoint":
            self.events.append(attach_tracepoint(known.descriptor, known.tracepoint))
        elif kind in ("kprobe", "kretprobe"):
            self.events.append(attach_kernel_function(known.descriptor, target, on_return=kind == "kretprobe"))
        elif kind in ("uprobe", "uretprobe", "usdt"):
            for path, offset, counter in known.places:
                on_return = kind == "uretprobe"
                self.events.append(attach_user_function(known.descriptor, path, offset, on_return=on_return, counter=counter))
        else:
            self.events.append(self._attach_raw(known, target if kind == "raw_tp" else None))

    def _attach_raw(self, program: BccProgram, tracepoint: str | None) -> int:
        try:
            return int(self.libbpf.call("bpf_raw_tracepoint_open", tracepoint and tracepoint.encode(), program.descriptor))
        except LibbpfError as error:
            raise LoadError(f"{self.name}: {program.section} cannot be attached: {error.cause}") from None

    def map(self, name: str) -> KernelMap:
        """KeyError when there is no such map."""
        content = self._info(self.maps[name], 96)
        kind, _, key, value, entries = MAP_INFO.unpack_from(content)
        return KernelMap(name, self.maps[name], kind, key, value, entries)

    def program_descriptor(self, program: str) -> int:
        return self.known[program].descriptor

    def read_types(self) -> bytes:
        """The BTF that went with the programs; LoadError when none was loaded or the kernel keeps none."""
        loaded = [program.descriptor for program in self.known.values() if program.descriptor >= 0]
        if not loaded:
            reasons = "; ".join(f"{name}: {program.refusal}" for name, program in self.known.items())
            raise LoadError(f"{self.name}: the kernel refused it: {reasons}")
        (identifier,) = struct.unpack_from("<I", self._info(loaded[0], PROGRAM_INFO_BYTES), BTF_ID_OFFSET)
        if not identifier:
            raise LoadError(f"{self.name}: this kernel keeps no type information (BTF) of programs.", "Linux 5.2 or newer does.")
        descriptor = int(self.libbpf.call("bpf_btf_get_fd_by_id", identifier))
        try:
            _, size, *_ = BTF_INFO.unpack(self._info(descriptor, BTF_INFO.size))
            buffer = ctypes.create_string_buffer(min(size, BTF_BYTES_MAX))
            self._info(descriptor, BTF_INFO.size, BTF_INFO.pack(ctypes.addressof(buffer), len(buffer), 0, 0, 0, 0))
            return buffer.raw
        finally:
            os.close(descriptor)

    def _info(self, descriptor: int, size: int, start: bytes = b"") -> bytes:
        info = ctypes.create_string_buffer(start, size)
        length = ctypes.c_uint32(size)
        self.libbpf.call("bpf_obj_get_info_by_fd", descriptor, info, ctypes.byref(length))
        return info.raw

    def close(self) -> None:
        programs = [program.descriptor for program in self.known.values() if program.descriptor >= 0]
        for descriptor in (*self.events, *programs, *self.maps.values()):
            with suppress(OSError):
                os.close(descriptor)
        self.events, self.known, self.maps = [], {}, {}
