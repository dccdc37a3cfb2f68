"""Finds the probe folders and reads each into one Probe; a folder that cannot be read is reported, the others go on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from collector.batch import Schema
from collector.catalog.btf import Btf, KernelTypes
from collector.catalog.elf import read_section
from collector.catalog.layout import StructReader
from collector.catalog.manifest import Manifest, parse_manifest
from collector.errors import ManifestError, ProbeError


@dataclass(frozen=True, slots=True)
class Probe:
    """A probe as its folder describes it.

    object_bytes: the compiled program. schemas: by record; derived records have none (their decoder makes it).
    accounts: the lines of `enum account` in order. book_fields: names of struct program_account in order.
    """

    name: str
    manifest: Manifest
    object_bytes: bytes
    schemas: dict[str, Schema]
    accounts: tuple[str, ...]
    book_fields: tuple[str, ...]


def find_folders(places: Sequence[Path]) -> list[Path]:
    """Folders with a probe.toml below each of `places`, in name order."""
    return sorted((entry.parent for place in places for entry in place.glob("*/probe.toml")), key=lambda folder: folder.name)


def object_path(folder: Path) -> Path:
    """Where the build puts the object: beside the folder in build/, or inside a folder brought by a user."""
    inside = folder / "probe.bpf.o"
    return inside if inside.exists() else folder.parent / "build" / f"{folder.name}.bpf.o"


def read_manifest(folder: Path) -> Manifest:
    path = folder / "probe.toml"
    try:
        return parse_manifest(path.read_text(), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path} cannot be read: {error}.", "Check its permissions.") from None


def read_probe(folder: Path, kernel: KernelTypes | None) -> Probe:
    """ProbeError when manifest and object do not fit each other, or one of them cannot be read."""
    manifest = read_manifest(folder)
    path = object_path(folder)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ProbeError(f"{path} cannot be read: {error.strerror}.", "Compile the probes: make -C probes.") from None
    reader = StructReader(Btf(read_section(content, ".BTF")), kernel)
    schemas = read_schemas(folder.name, manifest, reader)
    accounts = tuple(name for name in reader.enum("account").values() if name != "count")
    books = reader.schema(folder.name, "program_account").dtype.names or ()
    for hook in manifest.hook:
        if hook.account not in accounts:
            raise ManifestError(
                f"{folder.name}: hook {hook.purpose!r} keeps account {hook.account!r}; the program has {accounts}."
            )
    return Probe(folder.name, manifest, content, schemas, accounts, books)


def read_schemas(name: str, manifest: Manifest, reader: StructReader) -> dict[str, Schema]:
    schemas: dict[str, Schema] = {}
    for record in manifest.record:
        if record.map:
            schemas[record.struct] = reader.joined_schema(name, record.struct, (f"{record.struct}_key", f"{record.struct}_value"))
        elif not record.derived:
            schemas[record.struct] = reader.schema(name, record.struct)
    return schemas
