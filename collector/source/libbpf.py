"""The binding to libbpf.so.1 and nothing more: names, argument types, and errors as exceptions.

Signatures: bpf.h, libbpf.h of libbpf 1.1. Callbacks are used for log lines only, never per event.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable
from ctypes import POINTER, c_char_p, c_int, c_size_t, c_uint32, c_void_p
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from collector.errors import HoneyguideError

LogCallback = ctypes.CFUNCTYPE(c_int, c_int, c_char_p, c_void_p)
LOG_WARNING = 0
LINE_MAX = 8192


class OpenOptions(ctypes.Structure):
    """struct bpf_object_open_opts, as far as we fill it; libbpf takes the shorter size for `sz`."""

    _fields_ = (
        ("sz", c_size_t),
        ("object_name", c_char_p),
        ("relaxed_maps", ctypes.c_bool),
        ("pin_root_path", c_char_p),
        ("reserved", c_uint32),
        ("kconfig", c_char_p),
        ("btf_custom_path", c_char_p),
    )


class IterLinkInfoMap(ctypes.Structure):
    _fields_ = (("map_fd", c_uint32), ("padding", ctypes.c_uint8 * 12))


class IterAttachOptions(ctypes.Structure):
    """struct bpf_iter_attach_opts."""

    _fields_ = (("sz", c_size_t), ("link_info", POINTER(IterLinkInfoMap)), ("link_info_len", c_uint32))


class UprobeOptions(ctypes.Structure):
    """struct bpf_uprobe_opts, as far as we fill it."""

    _fields_ = (
        ("sz", c_size_t),
        ("ref_ctr_offset", c_size_t),
        ("bpf_cookie", ctypes.c_uint64),
        ("retprobe", ctypes.c_bool),
        ("func_name", c_char_p),
    )


class BatchOptions(ctypes.Structure):
    """struct bpf_map_batch_opts."""

    _fields_ = (("sz", c_size_t), ("elem_flags", ctypes.c_uint64), ("flags", ctypes.c_uint64))


# name -> (result, arguments)
FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "libbpf_version_string": (c_char_p, []),
    "libbpf_set_print": (c_void_p, [c_void_p]),
    "libbpf_probe_bpf_map_type": (c_int, [c_int, c_void_p]),
    "libbpf_num_possible_cpus": (c_int, []),
    "bpf_object__open_mem": (c_void_p, [c_void_p, c_size_t, c_void_p]),
    "bpf_object__load": (c_int, [c_void_p]),
    "bpf_object__close": (None, [c_void_p]),
    "bpf_object__next_program": (c_void_p, [c_void_p, c_void_p]),
    "bpf_object__next_map": (c_void_p, [c_void_p, c_void_p]),
    "bpf_program__name": (c_char_p, [c_void_p]),
    "bpf_program__section_name": (c_char_p, [c_void_p]),
    "bpf_program__set_autoload": (c_int, [c_void_p, ctypes.c_bool]),
    "bpf_program__set_expected_attach_type": (c_int, [c_void_p, c_int]),
    "bpf_program__set_log_buf": (c_int, [c_void_p, c_void_p, c_size_t]),
    "bpf_program__fd": (c_int, [c_void_p]),
    "bpf_program__attach": (c_void_p, [c_void_p]),
    "bpf_program__attach_cgroup": (c_void_p, [c_void_p, c_int]),
    "bpf_program__attach_kprobe": (c_void_p, [c_void_p, ctypes.c_bool, c_char_p]),
    "bpf_program__attach_iter": (c_void_p, [c_void_p, c_void_p]),
    "bpf_program__attach_uprobe_opts": (c_void_p, [c_void_p, c_int, c_char_p, c_size_t, c_void_p]),
    "bpf_link__destroy": (c_int, [c_void_p]),
    "bpf_link__fd": (c_int, [c_void_p]),
    "bpf_map__name": (c_char_p, [c_void_p]),
    "bpf_map__fd": (c_int, [c_void_p]),
    "bpf_map__type": (c_int, [c_void_p]),
    "bpf_map__set_autocreate": (c_int, [c_void_p, ctypes.c_bool]),
    "bpf_map__set_type": (c_int, [c_void_p, c_int]),
    "bpf_map__key_size": (c_uint32, [c_void_p]),
    "bpf_map__value_size": (c_uint32, [c_void_p]),
    "bpf_map__set_key_size": (c_int, [c_void_p, c_uint32]),
    "bpf_map__set_value_size": (c_int, [c_void_p, c_uint32]),
    "bpf_map__max_entries": (c_uint32, [c_void_p]),
    "bpf_map__set_max_entries": (c_int, [c_void_p, c_uint32]),
    "bpf_map__initial_value": (c_void_p, [c_void_p, POINTER(c_size_t)]),
    "bpf_map_lookup_elem": (c_int, [c_int, c_void_p, c_void_p]),
    "bpf_map_update_elem": (c_int, [c_int, c_void_p, c_void_p, ctypes.c_uint64]),
    "bpf_map_delete_elem": (c_int, [c_int, c_void_p]),
    "bpf_map_lookup_and_delete_elem": (c_int, [c_int, c_void_p, c_void_p]),
    "bpf_map_lookup_batch": (c_int, [c_int, c_void_p, c_void_p, c_void_p, c_void_p, POINTER(c_uint32), c_void_p]),
    "bpf_iter_create": (c_int, [c_int]),
    "bpf_obj_get_info_by_fd": (c_int, [c_int, c_void_p, POINTER(c_uint32)]),
    "bpf_enable_stats": (c_int, [c_int]),
    "bpf_raw_tracepoint_open": (c_int, [c_char_p, c_int]),
    "bpf_btf_get_fd_by_id": (c_int, [c_uint32]),
}


class LibbpfError(HoneyguideError):
    """A call failed; `number` is the positive errno."""

    def __init__(self, action: str, number: int) -> None:
        super().__init__(f"{action}: {os.strerror(number)} ({errno.errorcode.get(number, number)}).")
        self.number = number


@dataclass(slots=True)
class Libbpf:
    """The loaded library. Results below zero and null pointers become LibbpfError."""

    functions: dict[str, Callable[..., Any]]
    log: list[str] = field(default_factory=list)
    _keep_alive: Any = None

    def call(self, name: str, *arguments: Any) -> Any:
        """Calls an int function; returns its result when it is not negative."""
        result = self.functions[name](*arguments)
        if result < 0:
            raise LibbpfError(name, ctypes.get_errno() or -result)
        return result

    def pointer(self, name: str, *arguments: Any) -> int:
        """Calls a function that returns an object; null is an error."""
        result = self.functions[name](*arguments)
        if not result:
            raise LibbpfError(name, ctypes.get_errno() or errno.EINVAL)
        return int(result)

    def plain(self, name: str, *arguments: Any) -> Any:
        """Calls a function that cannot fail."""
        return self.functions[name](*arguments)

    @property
    def version(self) -> str:
        return str(self.plain("libbpf_version_string").decode())

    def take_log(self) -> list[str]:
        """Warnings printed since the last call."""
        lines, self.log = self.log, []
        return lines


@cache
def load_libbpf(name: str = "libbpf.so.1") -> Libbpf:
    """HoneyguideError when the library is not installed or lacks a function.

    One for the whole process: the library has one place for the function that takes its warnings, and calls it to the end.
    """
    try:
        library = ctypes.CDLL(name, use_errno=True)
        functions: dict[str, Callable[..., Any]] = {}
        for function, (result, arguments) in FUNCTIONS.items():
            functions[function] = getattr(library, function)
            functions[function].restype, functions[function].argtypes = result, arguments  # type: ignore[attr-defined]
    except OSError as error:
        raise HoneyguideError(
            f"{name} cannot be loaded: {error}.", "Install libbpf 1.x (Debian: apt-get install libbpf1)."
        ) from None
    except AttributeError as error:
        raise HoneyguideError(f"{name} is too old: {error}.", "Install libbpf 1.0 or newer (Debian 12: libbpf1).") from None
    return _collect_log(Libbpf(functions))


def _collect_log(libbpf: Libbpf) -> Libbpf:
    """Keeps libbpf's warnings instead of letting it print them."""
    vsnprintf = ctypes.CDLL(None).vsnprintf
    vsnprintf.argtypes = [c_char_p, c_size_t, c_char_p, c_void_p]

    def keep(level: int, template: bytes, arguments: int) -> int:
        if level == LOG_WARNING:
            line = ctypes.create_string_buffer(LINE_MAX)
            vsnprintf(line, LINE_MAX, template, arguments)
            libbpf.log = [*libbpf.log[-199:], line.value.decode(errors="replace").rstrip()]
        return 0

    libbpf._keep_alive = LogCallback(keep)
    libbpf.plain("libbpf_set_print", ctypes.cast(libbpf._keep_alive, c_void_p))
    return libbpf
