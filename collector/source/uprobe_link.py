"""One link for many functions of one file (kernel 6.6, 89ae89f53d20): libbpf 1.1 does not know it yet.

It is worth a system call of our own: on 6.18 taking one link away waits once for all its functions (30 ms), and many links
wait together; single uprobes wait one after the other (100 ms each, under a lock).
"""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Sequence

TRACE_UPROBE_MULTI = 48  # enum bpf_attach_type
LINK_CREATE = 28  # enum bpf_cmd
ON_RETURN = 1  # BPF_F_UPROBE_MULTI_RETURN
BPF_CALL = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "ppc64le": 361, "s390x": 351}.get(platform.machine(), 0)
KERNEL_TYPE = "bpf_uprobe_multi_link"  # in the kernel's BTF where it can do this


class LinkOptions(ctypes.Structure):
    """union bpf_attr, the part of BPF_LINK_CREATE with uprobe_multi."""

    _fields_ = (
        ("program", ctypes.c_uint32),
        ("target", ctypes.c_uint32),
        ("attach_type", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("path", ctypes.c_uint64),
        ("offsets", ctypes.c_uint64),
        ("reference_counts", ctypes.c_uint64),
        ("cookies", ctypes.c_uint64),
        ("count", ctypes.c_uint32),
        ("uprobe_flags", ctypes.c_uint32),
        ("process", ctypes.c_uint32),
        ("padding", ctypes.c_uint32),
    )


def link_functions(program: int, file: str, offsets: Sequence[int], *, on_return: bool) -> int:
    """Descriptor of a new link from a loaded program to the code at `offsets` of `file`, in every process; OSError."""
    path = ctypes.create_string_buffer(os.fsencode(file))
    places = (ctypes.c_uint64 * len(offsets))(*offsets)
    options = LinkOptions(
        program=program,
        attach_type=TRACE_UPROBE_MULTI,
        path=ctypes.addressof(path),
        offsets=ctypes.addressof(places),
        count=len(offsets),
        uprobe_flags=ON_RETURN if on_return else 0,
    )
    descriptor = ctypes.CDLL(None, use_errno=True).syscall(BPF_CALL, LINK_CREATE, ctypes.byref(options), ctypes.sizeof(options))
    if descriptor < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), file)
    return int(descriptor)
