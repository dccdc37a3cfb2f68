"""Finds the probe folders and reads each into one Probe; a folder that cannot be read is reported, the others go on."""

from __future__ import annotations

import os
from collections.abc import Sequence, Set
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from collector.batch import Schema
from collector.catalog.btf import Btf, KernelTypes
from collector.catalog.columns import check_columns
from collector.catalog.elf import read_section, read_symbols
from collector.catalog.layout import MapLayout, StructReader, Variable
from collector.catalog.manifest import Manifest, parse_manifest
from collector.catalog.probe_model import ProbeModel
from collector.errors import ManifestError, ProbeError


@dataclass(frozen=True, slots=True)
class Probe:
    """A probe as its folder describes it.

    object_bytes: the compiled program. schemas: by record; derived records have none (their decoder makes it).
    accounts: the lines of `enum account` in order. book_dtype: struct program_account. ring_accounts: account -> the
    record whose ring it feeds.
    """

    name: str
    manifest: Manifest
    object_bytes: bytes
    schemas: dict[str, Schema]
    map_layouts: dict[str, MapLayout]
    variables: tuple[Variable, ...]
    accounts: tuple[str, ...]
    book_dtype: np.dtype[np.void]
    ring_accounts: dict[str, str]
    folder: Path

    @property
    def model(self) -> ProbeModel:
        keys = {record: layout.key_fields for record, layout in self.map_layouts.items()}
        code = self.folder / "probe.py"
        return ProbeModel(self.name, self.manifest, self.schemas, keys, code if os.path.lexists(code) else None)


def find_folders(places: Sequence[Path]) -> list[Path]:
    """Folders with a probe.toml below each of `places`, in name order; of two with one name that of the later place.

    So a user's own `tcp` stands in for the one that ships.
    """
    found = {entry.parent.name: entry.parent for place in places for entry in place.glob("*/probe.toml")}
    return [found[name] for name in sorted(found)]


def object_path(folder: Path) -> Path:
    """Where the build puts the object: beside the folder in build/, or inside a folder brought by a user."""
    inside = folder / "probe.bpf.o"
    return inside if os.path.lexists(inside) else folder.parent / "build" / f"{folder.name}.bpf.o"


def read_manifest(folder: Path) -> Manifest:
    """ManifestError; with the metrics that it shares with another probe."""
    manifest = read_text(folder)
    if not manifest.metrics_like:
        return manifest
    records = {record.struct for record in manifest.record}
    shared = [metric for metric in read_text(folder.parent / manifest.metrics_like).metric if metric.record in records]
    return manifest.model_copy(update={"metric": [*manifest.metric, *shared]})


def read_text(folder: Path) -> Manifest:
    path = folder / "probe.toml"
    try:
        return parse_manifest(path.read_text(), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path} cannot be read: {error}.", "Check its permissions.") from None


def read_object(folder: Path) -> bytes:
    """The compiled program that lies ready; ProbeError when there is none."""
    path = object_path(folder)
    try:
        return path.read_bytes()
    except OSError as error:
        raise ProbeError(f"{path} cannot be read: {error.strerror}.", "Compile the probes: make -C probes.") from None


def read_probe(folder: Path, kernel: KernelTypes | None, content: bytes | None = None) -> Probe:
    """ProbeError when manifest and object do not fit each other, or one of them cannot be read.

    content: the compiled program, where it does not lie beside the manifest.
    """
    manifest = read_manifest(folder)
    content = read_object(folder) if content is None else content
    check_books(folder.name, manifest)
    reader = StructReader(Btf(read_section(content, ".BTF")), kernel)
    variables = reader.variables(read_symbols(content))
    check_names(folder.name, manifest, reader.functions(), reader.maps(), {variable.name for variable in variables})
    return fit_together(folder, manifest, reader, content, variables)


def read_bcc_probe(folder: Path, kernel: KernelTypes | None, types: bytes, maps: Set[str]) -> Probe:
    """The same for a program in bcc's dialect that was loaded already. types: its BTF; maps: names of its tables."""
    manifest = read_manifest(folder)
    reader = StructReader(Btf(types), kernel)
    check_names(folder.name, manifest, reader.functions(), maps, set())
    return fit_together(folder, manifest, reader, b"", ())


def fit_together(
    folder: Path, manifest: Manifest, reader: StructReader, content: bytes, variables: tuple[Variable, ...]
) -> Probe:
    """ManifestError for the first thing that the manifest names and the program has not."""
    schemas, layouts = read_schemas(folder.name, manifest, reader)
    accounts = tuple(name for name in reader.enum("account").values() if name != "count")
    check_accounts(folder.name, manifest, accounts)
    check_columns(folder.name, manifest, schemas)
    check_code(folder, manifest)
    return Probe(
        folder.name,
        manifest,
        content,
        schemas,
        layouts,
        variables,
        accounts,
        reader.schema(folder.name, "program_account").dtype,
        {record.account: record.struct for record in manifest.record if record.ring and record.account},
        folder,
    )


def check_accounts(name: str, manifest: Manifest, accounts: tuple[str, ...]) -> None:
    """Every book that the manifest speaks of is kept by the program."""
    named = [hook.account for hook in manifest.hook] + [record.account for record in manifest.record if record.ring]
    for account in filter(None, named):
        if account not in accounts:
            raise ManifestError(f"{name}: account {account!r} is not in the program's enum account: {', '.join(accounts)}.")


def check_code(folder: Path, manifest: Manifest) -> None:
    """probe.py and `computed` go together."""
    promised, there = any(record.computed for record in manifest.record), os.path.lexists(folder / "probe.py")
    if promised and not there:
        raise ManifestError(f"{folder.name}: a record has `computed` columns, and there is no probe.py to make them.")
    if there and not promised:
        raise ManifestError(f"{folder.name}: there is a probe.py, and no record says in `computed` which columns it makes.")


def check_books(probe: str, manifest: Manifest) -> None:
    """Our own headers count in accounts, so a program that includes them has no reason not to say which."""
    for hook in manifest.hook:
        if not hook.account:
            raise ManifestError(f"{probe}: hook {hook.purpose!r} has no `account`.", "Name a line of the program's enum account.")
    for record in manifest.record:
        if record.ring and not record.account:
            raise ManifestError(f"{probe}: record {record.struct} has no `account`: which one feeds its ring?")


def check_names(probe: str, manifest: Manifest, functions: Set[str], maps: Set[str], variables: Set[str]) -> None:
    """Every map, program and variable that the manifest names is in the object."""
    snapshots = [record.snapshot for record in manifest.record if record.snapshot]
    named = [program for hook in manifest.hook for program in hook.alternatives]
    kept = [*manifest.maps, *(map_name for record in manifest.record for map_name in (record.ring, record.map) if map_name)]
    walked = [*(snapshot.over for snapshot in snapshots), *(hook.over for hook in manifest.hook)]
    kept += ["accounts", *filter(None, walked)]
    for what, names, there in (
        ("program", named, functions),
        ("map", kept, maps),
        ("variable", list(manifest.variables), variables),
    ):
        missing = next((name for name in names if name not in there), None)
        if missing is not None:
            raise ManifestError(f"{probe}: the compiled probe has no {what} {missing}.", "Check probe.toml; compile it again.")


def read_schemas(name: str, manifest: Manifest, reader: StructReader) -> tuple[dict[str, Schema], dict[str, MapLayout]]:
    schemas: dict[str, Schema] = {}
    layouts: dict[str, MapLayout] = {}
    for record in manifest.record:
        if record.map:
            schemas[record.struct], layouts[record.struct] = reader.joined_schema(name, record.struct, record.map)
        elif not record.derived:
            schemas[record.struct] = reader.schema(name, record.struct)
    return schemas, layouts
