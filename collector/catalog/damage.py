"""A damaged object: its offsets, counts and names lead anywhere. Whatever comes of that is one error that says so."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager

from collector.errors import ManifestError

REMEDY = "Compile it again: make -C probes."
FAULTS = (struct.error, LookupError, ValueError, TypeError, OverflowError, RecursionError, MemoryError)


@contextmanager
def damage_reported() -> Iterator[None]:
    """What reading damaged bytes raises becomes ManifestError; errors of ours pass."""
    try:
        yield
    except FAULTS as error:
        raise ManifestError(f"The compiled probe is damaged ({type(error).__name__}: {error}).", REMEDY) from None
