"""What the C library does with memory that arrays leave behind."""

from __future__ import annotations

import ctypes
from contextlib import suppress

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # mallopt(3), of glibc
KEPT_BYTES = 8 << 20  # the arrays of one drain


def keep_what_a_drain_frees() -> None:
    """Else glibc returns the arrays of each drain to the kernel, and the next one pays for fresh pages: a fifth of its time.

    To be called when what is needed at the start only has been freed. Without effect where the C library is another one.
    """
    with suppress(AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(TRIM_THRESHOLD, KEPT_BYTES)
        mallopt(MMAP_THRESHOLD, KEPT_BYTES)


def give_back_free_pages() -> None:
    """Whole pages that are free go back to the kernel, also those between others, which glibc never returns by itself.

    Takes a few milliseconds; the next drain pays for its pages once. Without effect where the C library is another one.
    """
    with suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(KEPT_BYTES)
