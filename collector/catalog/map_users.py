"""Which maps each program of a compiled probe uses, itself or through the functions that it calls.

ELF relocations as in elf(5); BPF instructions and calls as in Documentation/bpf/standardization and llvm's BPF relocations.
"""

from __future__ import annotations

import struct
from collections import defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple

from collector.catalog.damage import damage_reported
from collector.catalog.elf import SECTION, SYMBOL, check_header

RELOCATION = struct.Struct("<QQ")
INSTRUCTION = struct.Struct("<BBhi")
RELOCATIONS, FUNCTION, SECTION_SYMBOL = 9, 2, 3  # SHT_REL, STT_FUNC, STT_SECTION
CALL, LOAD = 0x85, 0x18
CALL_OF_PROGRAM = 1  # BPF_PSEUDO_CALL


class Symbol(NamedTuple):
    name: str
    kind: int
    section: int
    value: int
    size: int


class Place(NamedTuple):
    """An instruction: section number and offset in it."""

    section: int
    offset: int


@dataclass
class CompiledCode:
    """sections: name and bytes by number. relocations: what the linker has to put in, by place."""

    sections: list[tuple[str, bytes]]
    symbols: list[Symbol]
    relocations: dict[Place, Symbol]
    functions: dict[int, list[Symbol]] = field(default_factory=lambda: defaultdict(list))

    def function_at(self, place: Place) -> Symbol | None:
        return next((one for one in self.functions[place.section] if one.value <= place.offset < one.value + one.size), None)


def read_map_users(elf: bytes) -> dict[str, frozenset[str]]:
    """Function -> maps; ManifestError when the object is damaged."""
    check_header(elf)
    with damage_reported():
        code = read_code(elf)
        functions = [one for group in code.functions.values() for one in group]
        uses = {one: find_references(code, one) for one in functions}
        return {one.name: frozenset(collect_maps(uses, one)) for one in functions}


def read_code(elf: bytes) -> CompiledCode:
    """Of two sections with one name the first counts."""
    (table,) = struct.unpack_from("<Q", elf, 40)
    count, names_index = struct.unpack_from("<HH", elf, 60)
    headers = [SECTION.unpack_from(elf, table + SECTION.size * index) for index in range(count)]
    contents = [elf[header[4] : header[4] + header[5]] for header in headers]
    sections = [(text_at(contents[names_index], header[0]), content) for header, content in zip(headers, contents, strict=True)]
    numbers = {name: number for number, (name, _) in reversed(list(enumerate(sections)))}
    symbols = read_symbol_table(contents[numbers[".symtab"]], contents[numbers[".strtab"]])
    relocations = {
        Place(header[7], offset): symbols[info >> 32]
        for header, content in zip(headers, contents, strict=True)
        if header[1] == RELOCATIONS
        for offset, info in RELOCATION.iter_unpack(content)
    }
    code = CompiledCode(sections, symbols, relocations)
    for symbol in symbols:
        if symbol.kind == FUNCTION:
            code.functions[symbol.section].append(symbol)
    return code


def read_symbol_table(table: bytes, names: bytes) -> list[Symbol]:
    return [
        Symbol(text_at(names, name), info & 15, section, value, size)
        for name, info, _, section, value, size in SYMBOL.iter_unpack(table)
    ]


def text_at(strings: bytes, start: int) -> str:
    return strings[start : strings.index(b"\0", start)].decode()


def find_references(code: CompiledCode, function: Symbol) -> tuple[set[str], set[Symbol]]:
    """(maps, functions) that the instructions of one function name."""
    content = code.sections[function.section][1]
    maps: set[str] = set()
    called: set[Symbol] = set()
    for offset in range(function.value, function.value + function.size, INSTRUCTION.size):
        operation, registers, _, immediate = INSTRUCTION.unpack_from(content, offset)
        target = code.relocations.get(Place(function.section, offset))
        if target is not None and target.section < len(code.sections) and code.sections[target.section][0] == ".maps":
            maps.add(target.name)
        elif (operation == CALL and registers >> 4 == CALL_OF_PROGRAM) or (operation == LOAD and target is not None):
            found = code.function_at(place_called(target, function, offset, operation, immediate))
            called |= {found} if found else set()
    return maps, called


def place_called(target: Symbol | None, function: Symbol, offset: int, operation: int, immediate: int) -> Place:
    """Calls count in instructions from the next one; without a relocation from here, with one from its symbol."""
    if operation == LOAD and target is not None:
        return Place(target.section, target.value + immediate)
    steps = (immediate + 1) * INSTRUCTION.size
    return Place(target.section, target.value + steps) if target is not None else Place(function.section, offset + steps)


def collect_maps(uses: dict[Symbol, tuple[set[str], set[Symbol]]], first: Symbol) -> set[str]:
    found: set[str] = set()
    seen, waiting = {first}, [first]
    while waiting:
        maps, called = uses[waiting.pop()]
        found |= maps
        waiting += called - seen
        seen |= called
    return found
