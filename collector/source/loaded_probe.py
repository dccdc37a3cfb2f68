"""One probe in the kernel: the hooks that were chosen, its rings, maps, iterators and books."""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from collector.accounts import Book
from collector.batch import Batch, BatchKind, Rows, Schema
from collector.catalog.manifest import Hook, Record
from collector.catalog.map_users import read_map_users
from collector.catalog.probe_folder import Probe
from collector.errors import LoadError
from collector.probe_status import HookStatus
from collector.source.bcc_object import BccObject
from collector.source.hook_support import SYMBOL_HOOKS
from collector.source.libbpf import Libbpf
from collector.source.library_hooks import LibraryHooks, LibraryProgram, parse_section
from collector.source.map_reader import MapReader, read_array, read_iterator
from collector.source.perf_buffer import PerfBuffer
from collector.source.program_object import PERF_EVENT_ARRAY, ProgramObject
from collector.source.ring_buffer import RingBuffer
from collector.source.wake_ups import SHARE_THAT_WAKES

NANOSECONDS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class LoadSettings:
    """What the user decides about the kernel side.

    perf_buffer: use per-CPU perf buffers. ring_bytes: of each ring (per CPU for perf). values: settings by name, for
    map sizes and program variables that manifests refer to. cgroup_root: where cgroup v2 is mounted, or None.
    library_folders: where this node keeps libraries that are hooked before anybody uses them. one_uprobe_link: the kernel
    can attach to many user functions at once. forced_hooks: probe -> programs or kinds of hook that alone may be used.
    """

    perf_buffer: bool = False
    ring_bytes: int = 1 << 20
    values: dict[str, int | Sequence[int]] = field(default_factory=dict)
    cgroup_root: Path | None = None
    library_folders: Sequence[Path] = ()
    one_uprobe_link: bool = False
    forced_hooks: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(slots=True)
class Tick:
    """An iterator that is run for what it does. next_ns: boot_ns when it is due."""

    program: str
    period_ns: int
    next_ns: int = 0


class LoadedProbe:
    """Opened with the programs named in `choice` (hook purpose -> C function); close() takes everything out of the kernel."""

    def __init__(self, probe: Probe, libbpf: Libbpf, settings: LoadSettings, ready: BccObject | None = None) -> None:
        """ready: programs that bcc has loaded already; they are closed with the probe."""
        self.probe = probe
        self._libbpf = libbpf
        self._settings = settings
        self._ready = ready
        self._object = ProgramObject(probe.name, libbpf)
        self._place: ProgramObject | BccObject = ready or self._object
        self._rings: dict[str, RingBuffer | PerfBuffer] = {}
        self._maps: dict[str, MapReader] = {}
        self._iterators: dict[str, int] = {}
        self._sweeps_wanted: dict[str, int] = {}
        self._ticks: list[Tick] = []
        self._generation = 0
        self._libraries: dict[str, LibraryHooks] = {}
        self.hooks: list[HookStatus] = []
        self.fresh = True  # no snapshot was taken yet
        self.spent_ns = 0  # of the reading thread's CPU time

    def open(self, choice: dict[str, str]) -> None:
        """LoadError says which program or map the kernel refused; nothing stays behind then."""
        try:
            if self._ready is None:
                self._load(choice)
            self._open_readers()
            for hook in self.probe.manifest.hook:
                if hook.purpose in choice:
                    self._attach(hook, choice[hook.purpose])
            for library in self._libraries.values():
                library.start()
        except BaseException:
            self.close()
            raise

    def _load(self, choice: dict[str, str]) -> None:
        self._object.open(self.probe.object_bytes)
        for program in choice.values():
            if program not in self._object.programs:
                raise LoadError(f"{self.probe.name}: the object has no program {program}.", "Check `alternatives` in probe.toml.")
            in_library = parse_section(self._object.section(program)) is not None
            self._object.select(program, one_link=in_library and self._settings.one_uprobe_link)
        for name, setting in self.probe.manifest.maps.items():
            size = self._settings.values[setting]
            if isinstance(size, int):
                self._object.resize_map(name, size)
        processors = self._libbpf.call("libbpf_num_possible_cpus")
        for record in self.probe.manifest.record:
            if record.ring and self._settings.perf_buffer:
                self._object.use_perf_buffer(record.ring, processors)
            elif record.ring:
                self._object.resize_map(record.ring, self._ring_bytes(record))
        for name in self._unused_maps(choice):
            self._object.leave_out_map(name)
        self._set_variables()
        self._object.load()

    def _ring_bytes(self, record: Record) -> int:
        return self._settings.ring_bytes * record.ring_times

    def _unused_maps(self, choice: dict[str, str]) -> set[str]:
        """Maps of the ways not taken: this kernel may not know their kind, and all cost memory."""
        users = read_map_users(self.probe.object_bytes)
        used = set().union(*(users[program] for program in choice.values()))
        optional = set().union(*(users[program] for program in self._object.programs))
        return optional - used - self.probe.manifest.named_maps()

    def _set_variables(self) -> None:
        """Fills `const volatile` variables; their place comes from the object's BTF."""
        wanted: dict[str, int | Sequence[int]] = {
            "use_perf_buffer": int(self._settings.perf_buffer),
            "agent_process_id": os.getpid(),
        }
        for record in self.probe.manifest.record:
            wanted[wake_variable(record)] = self._ring_bytes(record) // SHARE_THAT_WAKES
        wanted |= {name: self._settings.values[setting] for name, setting in self.probe.manifest.variables.items()}
        section = self._object.initial_bytes(".rodata")
        for variable in self.probe.variables:
            if section is not None and variable.name in wanted:
                values = np.atleast_1d(np.asarray(wanted[variable.name])).astype(variable.dtype)
                content = values.tobytes()[: variable.size]
                section[variable.offset : variable.offset + len(content)] = content

    def _attach(self, hook: Hook, program: str) -> None:
        section = self._place.section(program)
        in_library = parse_section(section)
        if self._ready is not None:
            self._ready.attach(program)
        elif in_library is not None:
            library, functions, on_return = in_library
            self._hooks_of(library).programs.append(LibraryProgram(program, functions, on_return))
        elif section.startswith("iter/"):
            self._iterators[program] = self._object.attach_iterator(program, hook.over or self._walked_map(program))
            if hook.every_seconds:
                self._ticks.append(Tick(program, int(hook.every_seconds * NANOSECONDS)))
        elif section.startswith("cgroup"):
            self._attach_cgroup(program)
        elif section.partition("/")[0] in SYMBOL_HOOKS and "," in section:
            self._object.attach_kernel_functions(program)
        else:
            self._object.attach(program)
        self.hooks.append(HookStatus(hook.purpose, program, section))

    def _hooks_of(self, library: str) -> LibraryHooks:
        if library not in self._libraries:
            attach = self._object.attach_functions
            self._libraries[library] = LibraryHooks(library, attach, standing=self._settings.library_folders)
        return self._libraries[library]

    def libraries(self) -> dict[str, int]:
        """Path of each library whose functions are hooked -> how many processes use it."""
        return {path: count for library in self._libraries.values() for path, count in library.attached().items()}

    def notes(self) -> tuple[str, ...]:
        """What is in use and not seen, and why."""
        return tuple(note for library in self._libraries.values() for note in library.notes())

    def _attach_cgroup(self, program: str) -> None:
        root = self._settings.cgroup_root
        if root is None:
            raise LoadError("No cgroup v2 hierarchy is mounted.", "mount -t cgroup2 none /sys/fs/cgroup/unified")
        descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self._object.attach_cgroup(program, descriptor)
        finally:
            os.close(descriptor)

    def _open_readers(self) -> None:
        for record in self.probe.manifest.record:
            dtype = self.probe.schemas[record.struct].dtype if record.struct in self.probe.schemas else None
            if record.ring and dtype is not None:
                self._rings[record.struct] = self._open_ring(record, dtype)
            if record.map:
                self._maps[record.struct] = MapReader(self._libbpf, self._place.map(record.map))

    def _open_ring(self, record: Record, dtype: np.dtype[np.void]) -> RingBuffer | PerfBuffer:
        kernel_map = self._place.map(record.ring)
        if kernel_map.kind == PERF_EVENT_ARRAY:
            return PerfBuffer(self._libbpf, kernel_map, self._ring_bytes(record), dtype)
        wakes = any(variable.name == wake_variable(record) for variable in self.probe.variables)
        return RingBuffer(kernel_map.file_descriptor, kernel_map.max_entries, dtype, wakes=wakes)

    def _walked_map(self, program: str) -> str:
        """The map over whose elements a snapshot iterator goes, '' for none."""
        origins = (record.snapshot for record in self.probe.manifest.record if record.snapshot)
        return next((origin.over for origin in origins if origin.program == program), "")

    @contextmanager
    def spending(self) -> Iterator[None]:
        """The CPU time of this thread within is the probe's."""
        started = time.thread_time_ns()
        yield
        self.spent_ns += time.thread_time_ns() - started

    def tick(self, now_boot_ns: int) -> None:
        """Runs the iterators that are due; what they report comes with the next drain."""
        for tick in self._ticks:
            if now_boot_ns >= tick.next_ns:
                tick.next_ns = now_boot_ns + tick.period_ns
                read_iterator(self._libbpf, self._iterators[tick.program], np.dtype("u1"))

    def follow_libraries(self, now_boot_ns: int) -> None:
        """Hooks those that processes have mapped since."""
        for library in self._libraries.values():
            library.follow(now_boot_ns)

    def drain(self) -> list[Batch]:
        """What is in the rings."""
        batches = []
        for struct, ring in self._rings.items():
            rows = ring.drain()
            if len(rows):
                batches.append(Batch(self.probe.schemas[struct], BatchKind.EVENTS, rows))
        return batches

    def take_snapshot(self, now_boot_ns: int, *, first: bool) -> list[Batch]:
        """What exists now: iterators and maps. An empty snapshot is news too."""
        batches = []
        for record in self.probe.manifest.record:
            schema = self.probe.schemas.get(record.struct)
            if schema is None:
                continue
            if record.snapshot and (first or not record.snapshot.once) and record.snapshot.program in self._iterators:
                self._sweep(record.snapshot.sweep, first=first)
                rows = read_iterator(self._libbpf, self._iterators[record.snapshot.program], schema.dtype)
                batches.append(Batch(schema, BatchKind.SNAPSHOT, rows))
            if record.map:
                batches.append(Batch(schema, BatchKind.SNAPSHOT, self._read_map(record, schema, now_boot_ns)))
        return batches

    def _sweep(self, program: str, *, first: bool) -> None:
        """Runs the iterator that finds what is new, when the probe's `sweep_wanted` counter has moved (or at first)."""
        if program not in self._iterators:
            return
        wanted = self.variable("sweep_wanted")
        if first or wanted != self._sweeps_wanted.get(program):
            self._sweeps_wanted[program] = wanted
            read_iterator(self._libbpf, self._iterators[program], np.dtype("u1"))

    @property
    def compile_cost(self) -> str:
        """For people; '' when bcc had nothing to do with it."""
        if self._ready is None:
            return ""
        took, peak = self._ready.seconds, self._ready.peak_kib / 1024
        return f" (compiled by bcc in {took:.1f} s, {peak:.0f} MiB at most, in another process)"

    def variable(self, name: str) -> int:
        """The value now of a global number of the program; 0 when it has none of that name."""
        place = next((entry for entry in self.probe.variables if entry.name == name), None)
        if place is None:
            return 0
        section = self._object.section_bytes(place.section)
        return int.from_bytes(section[place.offset : place.offset + place.size], "little")

    def _read_map(self, record: Record, schema: Schema, now_boot_ns: int) -> Rows:
        keys, values = self._maps[record.struct].read()
        layout = self.probe.map_layouts[record.struct]
        rows = layout.join(keys, values, schema.dtype)
        if record.idle:
            limit = now_boot_ns - int(record.idle.after_seconds * NANOSECONDS)
            for index in np.flatnonzero(rows[record.idle.field] < max(limit, 0)):
                final = self._maps[record.struct].remove(keys[index].tobytes())
                if final is not None:
                    value = np.frombuffer(final, np.uint8).reshape(1, values.shape[1], values.shape[2])
                    rows[index] = layout.join(keys[index : index + 1], value, schema.dtype)[0]
        return rows

    def steer(self, modes: Mapping[int, int]) -> None:
        """flow -> mode, for the programs to find at the next request; a probe without [steering] takes none."""
        steering = self.probe.manifest.steering
        if steering is None or not modes:
            return
        target = self._object.map(steering.modes).file_descriptor
        for flow, mode in modes.items():
            self._put(target, ctypes.c_uint64(flow), ctypes.c_uint32(mode))
        self._generation += 1
        self._put(self._object.map(steering.generation).file_descriptor, ctypes.c_uint32(0), ctypes.c_uint32(self._generation))

    def _put(self, descriptor: int, key: ctypes.c_uint64 | ctypes.c_uint32, value: ctypes.c_uint32) -> None:
        self._libbpf.call("bpf_map_update_elem", descriptor, ctypes.byref(key), ctypes.byref(value), 0)

    def books(self) -> list[Book]:
        """One per account; delivered accounts are those whose hook feeds a ring."""
        fields = self.probe.book_dtype.names or ()
        table = read_array(self._libbpf, self._place.map("accounts"), self.probe.book_dtype)
        ring_accounts = {name: struct for name, struct in self.probe.ring_accounts.items() if struct in self._rings}
        books = []
        for index, account in enumerate(self.probe.accounts):
            row = {name: int(table[name][index]) for name in fields}
            dropped = {name.removeprefix("dropped_"): row[name] for name in fields if name.startswith("dropped_")}
            ring = self._rings.get(ring_accounts.get(account, ""))
            books.append(
                Book(
                    self.probe.name, account, row["seen"], row["emitted"], row["filtered"], row["sampled"], dropped,
                    ring is not None, ring.decoded if ring else 0, ring.undecodable if ring else 0,
                )
            )  # fmt: skip
        return [*books, *self._books_without_account()]

    def _books_without_account(self) -> list[Book]:
        """Of rings that no account of the program feeds: what arrived, and what the kernel says did not find room."""
        books = []
        for record in self.probe.manifest.record:
            ring = self._rings.get(record.struct)
            if ring is not None and not record.account:
                lost, came = getattr(ring, "lost", 0), ring.decoded + ring.undecodable
                books.append(
                    Book(
                        self.probe.name, record.struct, came + lost, came, 0, 0, {"ring_full": lost},
                        True, ring.decoded, ring.undecodable,
                    )
                )  # fmt: skip
        return books

    def wake_descriptors(self) -> list[int]:
        """What the kernel makes readable when a ring fills."""
        return [descriptor for ring in self._rings.values() for descriptor in ring.descriptors]

    def pressure(self) -> float:
        """How full the fullest ring was of which no wake-up is to be expected, 0..1."""
        return max((ring.pressure for ring in self._rings.values()), default=0.0)

    def fills(self) -> dict[str, float]:
        """How full each ring was when it was drained last, 0..1."""
        return {struct: ring.fill for struct, ring in self._rings.items()}

    def program_descriptors(self) -> dict[str, int]:
        return {hook.program: self._place.program_descriptor(hook.program) for hook in self.hooks}

    def close(self) -> None:
        for ring in self._rings.values():
            with suppress(BufferError):  # a caller still holds a view; the mapping goes with it
                ring.close()
        self._rings.clear()
        for library in self._libraries.values():
            library.close()
        self._place.close()


def wake_variable(record: Record) -> str:
    """Of RECORD_RING in emit.bpf.h: how many bytes may wait in the ring. A program without it wakes for each record, or never."""
    return f"{record.ring}_wake_at"
