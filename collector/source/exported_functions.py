"""Where in an ELF file its exported functions lie: the dynamic symbol table, read where it stands (elf(5))."""

from __future__ import annotations

import mmap
import platform
import re
import struct
from collections.abc import Collection
from pathlib import Path

import numpy as np

Content = mmap.mmap | bytes
IDENTITY = b"\x7fELF\x02\x01"  # 64 bits, little-endian
MACHINES = {"x86_64": 62, "aarch64": 183, "riscv64": 243}
DYNAMIC_SYMBOLS, FUNCTION, LOADED, EXECUTABLE = 11, 2, 1, 1  # SHT_DYNSYM, STT_FUNC, PT_LOAD, PF_X
SEGMENT = struct.Struct("<IIQQQQQQ")
SECTION = struct.Struct("<IIQQQQIIQQ")
SYMBOL = np.dtype([("name", "<u4"), ("info", "u1"), ("other", "u1"), ("section", "<u2"), ("value", "<u8"), ("size", "<u8")])
TABLE_MAX = 256 << 20


def find_functions(path: Path, names: Collection[str]) -> dict[str, int]:
    """name -> offset in the file, for those of `names` that the file exports. OSError; ValueError says what is wrong with it."""
    with path.open("rb") as file:
        try:
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError:
            raise ValueError("it is empty") from None
        with content:
            check_kind(content)
            try:
                return read_functions(content, names)
            except (IndexError, struct.error):
                raise ValueError("its symbol table is damaged") from None


def check_kind(content: Content) -> None:
    if content[: len(IDENTITY)] != IDENTITY or len(content) < 64:
        raise ValueError("not a 64-bit little-endian ELF file")
    machine = struct.unpack_from("<H", content, 18)[0]
    if machine != MACHINES.get(platform.machine()):
        raise ValueError(f"made for another machine ({machine})")


def read_functions(content: Content, names: Collection[str]) -> dict[str, int]:
    """struct.error, IndexError or ValueError for a damaged file."""
    tables = [section for section in read_headers(content, SECTION, 40, 58) if section[1] == DYNAMIC_SYMBOLS]
    if not tables:
        return {}
    _, _, _, _, offset, size, link, *_ = tables[0]
    symbols = np.frombuffer(read_part(content, offset, size - size % SYMBOL.itemsize), SYMBOL)
    _, _, _, _, text_offset, text_size, *_ = read_headers(content, SECTION, 40, 58)[link]
    places = find_names(read_part(content, text_offset, text_size), names)
    defined = symbols[(symbols["section"] != 0) & (symbols["info"] & 15 == FUNCTION)]
    defined = defined[np.isin(defined["name"], np.fromiter(places, np.uint32, len(places)))]
    segments = read_headers(content, SEGMENT, 32, 54)
    return {places[int(symbol["name"])]: file_offset(segments, int(symbol["value"])) for symbol in defined}


def read_headers(content: Content, form: struct.Struct, table_at: int, count_at: int) -> list[tuple[int, ...]]:
    """Program or section headers; where their table's offset and their size and count are written is given."""
    (table,) = struct.unpack_from("<Q", content, table_at)
    size, count = struct.unpack_from("<HH", content, count_at)
    if size != form.size:
        raise ValueError(f"its headers have {size} bytes instead of {form.size}")
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


def file_offset(segments: list[tuple[int, ...]], address: int) -> int:
    for kind, flags, offset, start, _, size, *_ in segments:
        if kind == LOADED and flags & EXECUTABLE and start <= address < start + size:
            return address - start + offset
    raise ValueError("a function lies outside its code")
