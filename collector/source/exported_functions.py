"""Where in an ELF file its exported functions lie: the dynamic symbol table, read where it stands (elf(5))."""

from __future__ import annotations

import mmap
import platform
import re
import struct
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from collector.batch import Column
from collector.source.quick_places import Content, Place, find_shared_callee, quick_start

IDENTITY = b"\x7fELF\x02\x01"  # 64 bits, little-endian
MACHINES = {"x86_64": 62, "aarch64": 183, "riscv64": 243}
DYNAMIC_SYMBOLS, FUNCTION, LOADED, EXECUTABLE = 11, 2, 1, 1  # SHT_DYNSYM, STT_FUNC, PT_LOAD, PF_X
SEGMENT = struct.Struct("<IIQQQQQQ")
SECTION = struct.Struct("<IIQQQQIIQQ")
SYMBOL = np.dtype([("name", "<u4"), ("info", "u1"), ("other", "u1"), ("section", "<u2"), ("value", "<u8"), ("size", "<u8")])
TABLE_MAX = 256 << 20


class SharedCallee(NamedTuple):
    """A function that is not exported: what all of `callers` call, with the arguments of `stands_for`, the last caller."""

    callers: tuple[str, ...]
    stands_for: str


def find_functions(
    path: Path, names: Collection[str], proof: Collection[str] = (), shared: Sequence[SharedCallee] = ()
) -> dict[str, int]:
    """name -> offset in the file to hook, for those of `names` that the file exports; none when it lacks one of `proof`.

    Where a hook at their start would be slow and they share a callee where it is not, that one stands for all of them.
    OSError; ValueError says what is wrong with the file.
    """
    with path.open("rb") as file:
        try:
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError:
            raise ValueError("it is empty") from None
        with content:
            check_kind(content)
            try:
                places, exported = read_functions(content, {*names, *proof})
            except (IndexError, struct.error):
                raise ValueError("its symbol table is damaged") from None
            if not set(proof) <= places.keys():
                return {}
            return hook_places(content, places, exported, shared) if platform.machine() == "x86_64" else starts(places)


def starts(places: Mapping[str, Place]) -> dict[str, int]:
    return {name: place.offset for name, place in places.items()}


def hook_places(
    content: Content, places: Mapping[str, Place], exported: Collection[int], shared: Sequence[SharedCallee]
) -> dict[str, int]:
    """name -> offset: past what would be stepped slowly, or a shared callee for all of its callers."""
    quick = {name: quick_start(content, place.offset) for name, place in places.items()}
    found = {name: place.offset if (start := quick[name]) is None else start for name, place in places.items()}
    for callers, stands_for in shared:
        there = [places[name] for name in callers if name in places]
        slow = any(quick[name] is None for name in callers if name in places)
        callee = find_shared_callee(content, there, exported) if slow and stands_for in places else None
        if callee is not None:
            start = quick_start(content, callee)
            found = {name: offset for name, offset in found.items() if name not in callers}
            found[stands_for] = callee if start is None else start
    return found


def check_kind(content: Content) -> None:
    if content[: len(IDENTITY)] != IDENTITY or len(content) < 64:
        raise ValueError("not a 64-bit little-endian ELF file")
    machine = struct.unpack_from("<H", content, 18)[0]
    if machine != MACHINES.get(platform.machine()):
        raise ValueError(f"made for another machine ({machine})")


def read_functions(content: Content, names: Collection[str]) -> tuple[dict[str, Place], frozenset[int]]:
    """Those of `names`, and where all exported functions begin. struct.error, IndexError or ValueError for a damaged file."""
    sections = read_headers(content, SECTION, 40, 58)
    table = next((section for section in sections if section[1] == DYNAMIC_SYMBOLS), None)
    if table is None:
        return {}, frozenset()
    _, _, _, _, offset, size, link, *_ = table
    symbols = np.frombuffer(read_part(content, offset, size - size % SYMBOL.itemsize), SYMBOL)
    _, _, _, _, text_offset, text_size, *_ = sections[link]
    wanted = find_names(read_part(content, text_offset, text_size), names)
    defined = symbols[(symbols["section"] != 0) & (symbols["info"] & 15 == FUNCTION)]
    chosen = defined[np.isin(defined["name"], np.fromiter(wanted, np.uint32, len(wanted)))]
    code = [segment for segment in read_headers(content, SEGMENT, 32, 54) if segment[0] == LOADED and segment[1] & EXECUTABLE]
    places = {wanted[int(one["name"])]: Place(file_offset(code, int(one["value"])), int(one["size"])) for one in chosen}
    return places, all_offsets(code, defined["value"]) if places else frozenset()


def all_offsets(code: Sequence[tuple[int, ...]], addresses: Column) -> frozenset[int]:
    found: set[int] = set()
    for _, _, offset, start, _, size, *_ in code:
        if start + size + offset >= 1 << 64:
            raise ValueError("its code lies beyond all memory")
        inside = addresses[(addresses >= start) & (addresses < start + size)]
        found.update((inside - np.uint64(start) + np.uint64(offset)).tolist())
    return frozenset(found)


def read_headers(content: Content, form: struct.Struct, table_at: int, count_at: int) -> list[tuple[int, ...]]:
    """Program or section headers; where their table's offset and their size and count are written is given."""
    (table,) = struct.unpack_from("<Q", content, table_at)
    size, count = struct.unpack_from("<HH", content, count_at)
    if size != form.size:
        raise ValueError(f"its headers have {size} bytes instead of {form.size}")
    if table + size * count > len(content):
        raise ValueError("its headers lie beyond its end")
    return [form.unpack_from(content, table + size * index) for index in range(count)]


def read_part(content: Content, offset: int, size: int) -> bytes:
    if size > TABLE_MAX or offset + size > len(content):
        raise ValueError("its symbol table is damaged")
    return content[offset : offset + size]


def find_names(text: bytes, names: Collection[str]) -> dict[int, str]:
    """Position in a string table -> name. A name may be the end of a longer one (linkers share them)."""
    found: dict[int, str] = {}
    for name in names:
        for match in re.finditer(re.escape(name.encode()) + b"\0", text):
            found[match.start()] = name
    return found


def file_offset(code: Sequence[tuple[int, ...]], address: int) -> int:
    for _, _, offset, start, _, size, *_ in code:
        if start <= address < start + size:
            return address - start + offset
    raise ValueError("a function lies outside its code")
