"""One compiled probe in libbpf's hands: opened, adjusted, loaded, attached, closed."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

from collector.errors import LoadError
from collector.source.libbpf import (
    BatchOptions,
    IterAttachOptions,
    IterLinkInfoMap,
    Libbpf,
    LibbpfError,
    OpenOptions,
    UprobeOptions,
)
from collector.source.uprobe_link import TRACE_UPROBE_MULTI, link_functions
from collector.source.verifier_words import explain_log

RINGBUF, PERF_EVENT_ARRAY = 27, 4
PERCPU_TYPES = (5, 6, 10, 21)  # enum bpf_map_type: PERCPU_HASH, PERCPU_ARRAY, LRU_PERCPU_HASH, PERCPU_CGROUP_STORAGE
LOG_BYTES = 1 << 20  # older kernels refuse the program when the log does not fit
NOISE = ("BEGIN PROG LOAD LOG", "RLIMIT_MEMLOCK", "Error in bpf_object__probe_loading")
Detach = Callable[[], object]


@dataclass(frozen=True, slots=True)
class KernelMap:
    """A map of a loaded object. max_entries of a ring buffer is its size in bytes."""

    name: str
    file_descriptor: int
    kind: int
    key_size: int
    value_size: int
    max_entries: int

    @property
    def per_cpu(self) -> bool:
        return self.kind in PERCPU_TYPES


@dataclass(slots=True)
class ProgramObject:
    """Life: open -> adjust -> load -> attach -> close. Links die with the process even if `close` is never reached."""

    name: str
    libbpf: Libbpf
    handle: int = 0
    programs: dict[str, int] = field(default_factory=dict)
    maps: dict[str, int] = field(default_factory=dict)
    links: list[int] = field(default_factory=list)
    _content: object = None
    _logs: list[object] = field(default_factory=list)
    _one_link: set[str] = field(default_factory=set)

    def open(self, content: bytes) -> None:
        """LoadError when libbpf cannot read the object. No program is selected yet."""
        self._content = ctypes.create_string_buffer(content, len(content))
        options = OpenOptions(sz=ctypes.sizeof(OpenOptions), object_name=self.name.encode()[:15])
        try:
            self.handle = self.libbpf.pointer(
                "bpf_object__open_mem", ctypes.addressof(self._content), len(content), ctypes.byref(options)
            )
        except LibbpfError as error:
            raise LoadError(f"{self.name}: libbpf cannot open the object: {self._reason(error)}") from None
        self.programs = dict(self._walk("bpf_object__next_program", "bpf_program__name"))
        self.maps = dict(self._walk("bpf_object__next_map", "bpf_map__name"))
        for program in self.programs.values():
            self.libbpf.call("bpf_program__set_autoload", program, False)

    def _walk(self, step: str, name: str) -> Iterable[tuple[str, int]]:
        item = self.libbpf.plain(step, self.handle, None)
        while item:
            yield self.libbpf.plain(name, item).decode(), item
            item = self.libbpf.plain(step, self.handle, item)

    def section(self, program: str) -> str:
        return str(self.libbpf.plain("bpf_program__section_name", self.programs[program]).decode())

    def select(self, program: str, *, one_link: bool = False) -> None:
        """This program will be loaded; its verifier log is kept for the error message.

        one_link: one link will attach it to many user functions.
        """
        if one_link:
            self.libbpf.call("bpf_program__set_expected_attach_type", self.programs[program], TRACE_UPROBE_MULTI)
            self._one_link.add(program)
        log = ctypes.create_string_buffer(LOG_BYTES)
        self._logs.append(log)
        self.libbpf.call("bpf_program__set_log_buf", self.programs[program], ctypes.addressof(log), LOG_BYTES)
        self.libbpf.call("bpf_program__set_autoload", self.programs[program], True)

    def leave_out_map(self, name: str) -> None:
        """It is not created; no selected program may use it."""
        self.libbpf.call("bpf_map__set_autocreate", self.maps[name], False)

    def resize_map(self, name: str, entries: int) -> None:
        self.libbpf.call("bpf_map__set_max_entries", self.maps[name], entries)

    def use_perf_buffer(self, name: str, processors: int) -> None:
        """Turns a ring buffer map into a perf event array; the program's `use_perf_buffer` must be set too."""
        handle = self.maps[name]
        self.libbpf.call("bpf_map__set_type", handle, PERF_EVENT_ARRAY)
        self.libbpf.call("bpf_map__set_key_size", handle, 4)
        self.libbpf.call("bpf_map__set_value_size", handle, 4)
        self.libbpf.call("bpf_map__set_max_entries", handle, processors)

    def initial_bytes(self, suffix: str) -> memoryview | None:
        """What the section (.rodata, .bss, .data) will start with, writable before loading; None when there is none."""
        handle = next((handle for name, handle in self.maps.items() if name.endswith(suffix)), None)
        if handle is None:
            return None
        size = ctypes.c_size_t()
        address = self.libbpf.pointer("bpf_map__initial_value", handle, ctypes.byref(size))
        return memoryview((ctypes.c_char * size.value).from_address(address)).cast("B")

    def section_bytes(self, suffix: str) -> bytes:
        """The section as it is now in the kernel; KeyError when there is none."""
        section = self.map(next(name for name in self.maps if name.endswith(suffix)))
        key, content = ctypes.c_uint32(0), ctypes.create_string_buffer(section.value_size)
        self.libbpf.call("bpf_map_lookup_elem", section.file_descriptor, ctypes.byref(key), content)
        return content.raw

    def load(self) -> None:
        """LoadError carries libbpf's and the verifier's own words."""
        self.libbpf.take_log()
        try:
            self.libbpf.call("bpf_object__load", self.handle)
        except LibbpfError as error:
            verdict = explain_log("\n".join(self._spoken()))
            if verdict is not None:
                raise LoadError(f"{self.name}: the kernel refused it: {verdict.cause}.", verdict.remedy) from None
            raise LoadError(f"{self.name}: the kernel refused it: {self._reason(error)}") from None
        finally:
            self._logs.clear()

    def _spoken(self) -> list[str]:
        """The verifier's log of each program that it spoke about."""
        return [log.value.decode(errors="replace") for log in self._logs if log.value]  # type: ignore[attr-defined]

    def _reason(self, error: LibbpfError) -> str:
        """The last words of the verifier when it spoke, libbpf's first warning otherwise."""
        spoken = self._spoken()
        lines = [line for line in (spoken[-1] if spoken else "").splitlines() if line and not line.startswith("processed ")]
        told = [line.removeprefix("libbpf: ") for line in self.libbpf.take_log()]
        warnings = [line for line in told if not any(noise in line for noise in NOISE)]
        return "; ".join([*warnings[:1], *lines[-2:]]) or error.cause

    def attach(self, program: str) -> None:
        self._keep(program, lambda handle: self.libbpf.pointer("bpf_program__attach", handle))

    def attach_cgroup(self, program: str, cgroup_descriptor: int) -> None:
        self._keep(program, lambda handle: self.libbpf.pointer("bpf_program__attach_cgroup", handle, cgroup_descriptor))

    def attach_kernel_functions(self, program: str) -> None:
        """Attaches to every function of a section "kprobe/one,other" that this kernel has; LoadError when it has none."""
        kind, _, target = self.section(program).partition("/")
        attached, refusals = len(self.links), []
        for function in target.split(","):
            name = function.encode()
            try:
                self._keep(
                    program,
                    lambda handle, name=name: self.libbpf.pointer(  # type: ignore[misc]
                        "bpf_program__attach_kprobe", handle, kind == "kretprobe", name
                    ),
                )
            except LoadError as error:
                refusals.append(error)
        if len(self.links) == attached:
            raise refusals[0]

    def attach_iterator(self, program: str, over: str) -> int:
        """Attaches an iterator (over the elements of map `over`, '' for none); the link's file descriptor."""
        if not over:
            self._keep(program, lambda handle: self.libbpf.pointer("bpf_program__attach_iter", handle, None))
        else:
            info = IterLinkInfoMap(map_fd=self.libbpf.call("bpf_map__fd", self.maps[over]))
            options = IterAttachOptions(ctypes.sizeof(IterAttachOptions), ctypes.pointer(info), ctypes.sizeof(info))
            self._keep(program, lambda handle: self.libbpf.pointer("bpf_program__attach_iter", handle, ctypes.byref(options)))
        return int(self.libbpf.call("bpf_link__fd", self.links[-1]))

    def attach_functions(self, program: str, file: str, offsets: Sequence[int], on_return: bool) -> list[Detach]:
        """Attaches to the code at those offsets of an ELF file, in every process; what takes it away again.

        OSError when the kernel refuses. `select` must have said how: one link for all offsets, or one for each.
        """
        if program in self._one_link:
            descriptor = link_functions(self.program_descriptor(program), file, offsets, on_return=on_return)
            return [partial(os.close, descriptor)]
        made: list[Detach] = []
        for offset in offsets:
            try:
                made.append(partial(self.libbpf.plain, "bpf_link__destroy", self._attach_one(program, file, offset, on_return)))
            except LibbpfError as error:
                for detach in made:
                    detach()
                raise OSError(error.number, os.strerror(error.number), file) from None
        return made

    def _attach_one(self, program: str, file: str, offset: int, on_return: bool) -> int:
        options = UprobeOptions(sz=ctypes.sizeof(UprobeOptions), retprobe=on_return)
        path = file.encode(errors="surrogateescape")
        handle = self.programs[program]
        return self.libbpf.pointer("bpf_program__attach_uprobe_opts", handle, -1, path, offset, ctypes.byref(options))

    def _keep(self, program: str, attach: Callable[[int], int]) -> None:
        self.libbpf.take_log()
        try:
            self.links.append(attach(self.programs[program]))
        except LibbpfError as error:
            raise LoadError(f"{self.name}: {self.section(program)} cannot be attached: {self._reason(error)}") from None

    def map(self, name: str) -> KernelMap:
        """KeyError when the object has no such map."""
        handle = self.maps[name]
        ask = self.libbpf.plain
        return KernelMap(
            name,
            ask("bpf_map__fd", handle),
            ask("bpf_map__type", handle),
            ask("bpf_map__key_size", handle),
            ask("bpf_map__value_size", handle),
            ask("bpf_map__max_entries", handle),
        )

    def program_descriptor(self, program: str) -> int:
        return int(self.libbpf.plain("bpf_program__fd", self.programs[program]))

    def close(self) -> None:
        for link in reversed(self.links):
            self.libbpf.plain("bpf_link__destroy", link)
        self.links.clear()
        if self.handle:
            self.libbpf.plain("bpf_object__close", self.handle)
            self.handle = 0
        self._content = None


def batch_options() -> BatchOptions:
    return BatchOptions(sz=ctypes.sizeof(BatchOptions))
