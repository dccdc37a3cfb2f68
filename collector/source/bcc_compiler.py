"""Compiles one bcc program in a process of its own and hands over what was loaded: descriptors, names, places. Then it ends.

Run by file name with a Python that sees Debian's bcc; needs nothing else of this project. The request comes as JSON on
standard input, the answer goes as JSON with the descriptors through the socket that is descriptor 3 (SCM_RIGHTS). The
compiler's and the verifier's words go to standard error; before each program is loaded a line says which.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import socket
import struct
import sys
import time
from pathlib import Path
from typing import Any

SOCKET = 3
LOADED = 1  # PT_LOAD
MARK = "honeyguide loads "
CLONE_NEWNS, MS_PRIVATE, MS_REC = 0x20000, 1 << 18, 1 << 14
TRACEFS = Path("/sys/kernel/tracing")
# enum bpf_prog_type and, for tracing, enum bpf_attach_type
KPROBE, TRACEPOINT, PERF_EVENT, RAW_TRACEPOINT, TRACING = 2, 5, 7, 17, 26
KINDS = {
    "kprobe": KPROBE, "kretprobe": KPROBE, "uprobe": KPROBE, "uretprobe": KPROBE, "usdt": KPROBE,
    "tracepoint": TRACEPOINT, "raw_tp": RAW_TRACEPOINT, "fentry": TRACING, "fexit": TRACING,
}  # fmt: skip
ATTACH_TYPES = {"fentry": 24, "fexit": 25}


def see_tracepoints() -> None:
    """bcc reads their formats from tracefs; where it is not mounted, this process alone mounts it."""
    if (TRACEFS / "events").is_dir() or Path("/sys/kernel/debug/tracing/events").is_dir():
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS) == 0 and libc.mount(b"none", b"/", None, MS_PRIVATE | MS_REC, None) == 0:
        libc.mount(b"none", os.fsencode(TRACEFS), b"tracefs", 0, None)


def file_offset(path: bytes, address: int) -> int:
    """Where in the ELF64 file lies what is loaded at `address`: the counter that switches a USDT probe on."""
    content = Path(os.fsdecode(path)).read_bytes()
    (table,) = struct.unpack_from("<Q", content, 32)
    size, count = struct.unpack_from("<HH", content, 54)
    for index in range(count):
        kind, _, offset, start, _, length = struct.unpack_from("<IIQQQQ", content, table + size * index)
        if kind == LOADED and start <= address < start + length:
            return int(address - start + offset)
    raise ValueError(f"{os.fsdecode(path)} loads nothing at {address:#x}")


def find_places(resolver: Any, context: Any, name: str) -> list[list[Any]]:
    """[file, offset, offset of the counter or 0] of each place of a USDT probe; ValueError when the file has no such probe."""
    for probe in context.enumerate_probes():
        if f"{os.fsdecode(probe.provider)}:{os.fsdecode(probe.name)}" == name:
            path = probe.bin_path if isinstance(probe.bin_path, bytes) else os.fsencode(probe.bin_path)
            counter = file_offset(path, probe.semaphore) if probe.semaphore else 0
            addresses = [probe.get_location(index).address for index in range(probe.num_locations)]
            found = [resolver._check_path_symbol(path, b"", address, -1) for address in addresses]
            return [[os.fsdecode(file), offset, counter] for file, offset in found]
    raise ValueError(f"there is no USDT probe {name} in that file; `readelf -n FILE` lists them")


def compile_program(request: dict[str, Any]) -> tuple[dict[str, Any], list[int]]:
    """(answer, descriptors): programs and maps refer to descriptors by their place in the list."""
    from bcc import BPF, USDT, USDTException, lib  # type: ignore[import-not-found, import-untyped, unused-ignore] # noqa: PLC0415

    class Module(BPF):  # type: ignore[misc, unused-ignore]
        def _trace_autoload(self) -> None:
            """The agent attaches, not bcc."""

    class Arguments(USDT):  # type: ignore[misc, unused-ignore]
        def attach_uprobes(self, *_ignored: object) -> None:
            """The agent attaches, not bcc."""

    started = time.monotonic()
    contexts: list[Any] = []
    places: dict[str, list[list[Any]]] = {}
    for program, section in request["programs"].items():
        kind, _, target = section.partition("/")
        if kind == "usdt":
            path, probe = target.split(":", 1)
            context = Arguments(path=path)
            contexts.append((context, probe))
            try:
                context.enable_probe(probe, program)
            except USDTException:  # bcc wants a process for one with a counter; the kernel does not
                places[program] = find_places(BPF, context, probe)
    used = [context for context, _ in contexts]
    module = Module(text=request["source"], cflags=request["flags"], usdt_contexts=used)
    compiled = time.monotonic() - started
    for context, probe in contexts:
        for _, program, _, _ in context.enumerate_active_probes():
            places[program.decode()] = find_places(BPF, context, probe)
    descriptors: list[int] = []
    programs = {
        name: load_program(module, name, section, places.get(name, []), descriptors)
        for name, section in request["programs"].items()
    }
    maps = list_maps(lib, module, descriptors)
    return {"programs": programs, "maps": maps, "seconds": compiled}, descriptors


def list_maps(lib: Any, module: Any, descriptors: list[int]) -> dict[str, int]:
    """Name -> place in the list of descriptors, to which each map's is added."""
    lib.bpf_table_name.restype = ctypes.c_char_p
    lib.bpf_table_name.argtypes = [ctypes.c_void_p, ctypes.c_ulonglong]
    maps = {}
    for index in range(lib.bpf_num_tables(module.module)):
        name = lib.bpf_table_name(module.module, index)
        maps[name.decode()] = len(descriptors)
        descriptors.append(lib.bpf_table_fd(module.module, name))
    return maps


def load_program(module: Any, name: str, section: str, places: list[list[Any]], descriptors: list[int]) -> dict[str, Any]:
    """What became of one program; its descriptor is appended when the verifier took it."""
    kind, _, target = section.partition("/")
    sys.stderr.write(f"\n{MARK}{name}\n")
    sys.stderr.flush()
    answer: dict[str, Any] = {"section": section, "places": places, "tracepoint": 0, "descriptor": -1, "refusal": ""}
    try:
        if kind in ("uprobe", "uretprobe"):
            path, _, symbol = target.rpartition(":")
            path = path if path.startswith("/") else os.fsdecode(module.find_library(path) or path)
            found = module._check_path_symbol(os.fsencode(path), symbol.encode(), 0, -1)
            answer["places"] = [[os.fsdecode(found[0]), found[1], 0]]
        if kind == "tracepoint":
            events = next(place for place in (TRACEFS, Path("/sys/kernel/debug/tracing")) if (place / "events").is_dir())
            answer["tracepoint"] = int((events / "events" / target / "id").read_text())
        loaded = module.load_func(name, KINDS[kind], None, ATTACH_TYPES.get(kind, -1))
        answer["descriptor"] = len(descriptors)
        descriptors.append(loaded.fd)
    except Exception as error:  # noqa: BLE001 -- bcc raises nothing more precise
        answer["refusal"] = str(error)
    sys.stderr.flush()
    return answer


def main() -> int:
    """0 when an answer was sent, even one that says no."""
    request = json.load(sys.stdin)
    see_tracepoints()
    descriptors: list[int] = []
    try:
        answer, descriptors = compile_program(request)
    except ImportError as error:
        answer = {"failure": "import", "words": str(error)}
    except Exception as error:  # noqa: BLE001 -- bcc raises nothing more precise
        answer = {"failure": "compile", "words": str(error)}
    answer["peak_kib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with socket.socket(fileno=SOCKET) as channel:
        socket.send_fds(channel, [json.dumps(answer).encode()], descriptors)
    sys.stderr.flush()
    os._exit(0)  # bcc's own clean-up at exit has nothing to do here


if __name__ == "__main__":
    sys.exit(main())
