"""Attaches loaded programs to tracepoints, kernel and user functions through perf events, as perf_event_open(2) describes it.

For programs that libbpf does not know because bcc has loaded them.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import platform
import re
from pathlib import Path

from collector.errors import LoadError
from collector.source.perf_buffer import CLOSE_ON_EXEC, ENABLE, SYSTEM_CALL, EventAttributes

TYPE_TRACEPOINT = 2
COUNTER_SHIFT = 32  # PERF_UPROBE_REF_CTR_OFFSET_SHIFT, kernel/events/core.c
SET_PROGRAM = 0x40042408  # PERF_EVENT_IOC_SET_BPF
DEVICES = Path("/sys/bus/event_source/devices")


def attach_tracepoint(program: int, identifier: int) -> int:
    """Descriptor of the perf event; closing it detaches."""
    return attach(program, EventAttributes(type=TYPE_TRACEPOINT, size=ctypes.sizeof(EventAttributes), config=identifier))


def attach_kernel_function(program: int, function: str, *, on_return: bool) -> int:
    """Descriptor of the perf event; closing it detaches."""
    name = ctypes.create_string_buffer(function.encode())
    return attach(program, probe_attributes("kprobe", on_return=on_return, where=ctypes.addressof(name), offset=0))


def attach_user_function(program: int, path: str, offset: int, *, on_return: bool, counter: int = 0) -> int:
    """Descriptor of the perf event; closing it detaches. Every process that maps the file is watched.

    counter: offset in the file of the number that the kernel raises while somebody watches (USDT), 0: none.
    """
    name = ctypes.create_string_buffer(os.fsencode(path))
    attributes = probe_attributes("uprobe", on_return=on_return, where=ctypes.addressof(name), offset=offset)
    attributes.config |= counter << COUNTER_SHIFT
    return attach(program, attributes)


def probe_attributes(device: str, *, on_return: bool, where: int, offset: int) -> EventAttributes:
    """LoadError when the kernel has no such probes."""
    try:
        kind = int((DEVICES / device / "type").read_text())
        form = (DEVICES / device / "format/retprobe").read_text()
    except OSError:
        raise LoadError(f"This kernel has no {device}s.", "Use a tracepoint.") from None
    bit = int(re.sub(r"\D", "", form))
    return EventAttributes(
        type=kind, size=ctypes.sizeof(EventAttributes), config=int(on_return) << bit, config1=where, config2=offset
    )


def attach(program: int, attributes: EventAttributes) -> int:
    """LoadError with the kernel's reason."""
    libc = ctypes.CDLL(None, use_errno=True)
    number = SYSTEM_CALL.get(platform.machine(), 0)
    event = int(libc.syscall(number, ctypes.byref(attributes), -1, 0, -1, CLOSE_ON_EXEC))
    if event < 0:
        raise LoadError(f"perf_event_open: {os.strerror(ctypes.get_errno())}.", "Give the agent CAP_PERFMON (or CAP_SYS_ADMIN).")
    try:
        fcntl.ioctl(event, SET_PROGRAM, program)
        fcntl.ioctl(event, ENABLE, 0)
    except OSError as error:
        os.close(event)
        raise LoadError(f"The program cannot be attached: {error.strerror}.") from None
    return event
