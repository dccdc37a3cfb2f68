"""Where in a function of x86-64 a uprobe is cheap: on an instruction that the kernel emulates instead of single-stepping it.

A single step cost 20 us in a virtual machine (each #DB leaves the guest), an emulated push 1.5 us. Functions that begin with
something else are watched at the function that does their work, where it is certain which one that is.
"""

from __future__ import annotations

import mmap
import re
import struct
from collections.abc import Collection, Sequence
from typing import NamedTuple

Content = mmap.mmap | bytes
LANDING = b"\xf3\x0f\x1e\xfa"  # endbr64: single-stepped, what follows it need not be
QUICK = re.compile(rb"[\x50-\x57]|\x41[\x50-\x57]|\x90|\x0f\x1f\x44\x00\x00")  # push, nop: arch/x86/kernel/uprobes.c
CALL, JUMP = 0xE8, 0xE9
CALL_SIZE = 5
ALIGNMENT = 16


class Place(NamedTuple):
    """Of a function in its file, in bytes."""

    offset: int
    size: int


def quick_start(content: Content, offset: int) -> int | None:
    """Where in the function's first bytes to hook it cheaply, with its arguments and stack as at its start; None: nowhere."""
    start = offset + len(LANDING) if content[offset : offset + len(LANDING)] == LANDING else offset
    return start if QUICK.match(content[start : start + CALL_SIZE]) else None


def find_shared_callee(content: Content, callers: Sequence[Place], exported: Collection[int]) -> int | None:
    """Start of the one function that all of `callers` call and nobody exports; None when that is not certain."""
    if len(callers) < 2:
        return None
    shared = set.intersection(*(call_targets(content, caller) for caller in callers))
    found = [target for target in shared if target not in exported and looks_like_start(content, target)]
    return found[0] if len(found) == 1 else None


def looks_like_start(content: Content, target: int) -> bool:
    """A stub of the procedure linkage table begins with a jump instead."""
    return 0 < target < len(content) and target % ALIGNMENT == 0 and quick_start(content, target) is not None


def call_targets(content: Content, caller: Place) -> set[int]:
    """Everything that could be a direct call or a tail call; bytes of other instructions among them."""
    body = content[caller.offset : caller.offset + caller.size]
    targets = set()
    for at, byte in enumerate(body[: -CALL_SIZE + 1]):
        if byte in (CALL, JUMP):
            targets.add(caller.offset + at + CALL_SIZE + struct.unpack_from("<i", body, at + 1)[0])
    return targets
