"""Sockets of the kernel's connection tracking (NETLINK_NETFILTER), in the network namespace that translates addresses."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
import threading
from contextlib import suppress
from pathlib import Path

from collector.errors import LoadError
from collector.source.conntrack_messages import rewritten_only

NETLINK_NETFILTER = 12
NETLINK_ADD_MEMBERSHIP, SOL_NETLINK = 1, 270
GROUP_NEW, GROUP_DESTROY = 1, 3  # NFNLGRP_CONNTRACK_*
ATTACH_FILTER, RECEIVE_BUFFER_FORCE = 26, 33  # SO_ATTACH_FILTER, SO_RCVBUFFORCE
CLONE_NEWNET = 0x40000000
LARGEST_DATAGRAM = 1 << 16
EVENTS_BUFFER, TABLE_BUFFER = 4 << 20, 1 << 20
OWN_NAMESPACE = Path("/proc/thread-self/ns/net")
MOVE = "Run in the host's network (hostNetwork: true), or grant CAP_SYS_ADMIN."
GRANT = "Run as root, or grant CAP_NET_ADMIN; `--disable conntrack` goes without."
NO_SUCH_KERNEL = "Load the module nf_conntrack_netlink where translated connections shall be followed, or --disable conntrack."


class ElsewhereError(LoadError):
    """Addresses are rewritten in a network namespace that this process is not in, and may not enter."""


def open_in_namespace(namespace: Path) -> socket.socket:
    """A netlink socket of that network namespace (a file such as /proc/1/ns/net). LoadError says why not.

    One that may not even be looked at is taken for our own: the agent is no container then, or one that shows it nothing.
    """
    if inode_of(namespace) == inode_of(OWN_NAMESPACE):
        return open_netlink()
    opened: list[socket.socket | LoadError] = []
    worker = threading.Thread(target=lambda: opened.append(enter_and_open(namespace)))  # setns(2) moves one thread only
    worker.start()
    worker.join()
    if isinstance(opened[0], LoadError):
        raise opened[0]
    return opened[0]


def inode_of(namespace: Path) -> int:
    """The number by which the kernel calls a network namespace, our own when that one may not be looked at; 0 for none."""
    try:
        return namespace.stat().st_ino
    except PermissionError:
        return OWN_NAMESPACE.stat().st_ino
    except OSError:
        return 0


def enter_and_open(namespace: Path) -> socket.socket | LoadError:
    try:
        place = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        return ElsewhereError(f"{namespace} cannot be opened: {error.strerror}.", MOVE)
    try:
        if ctypes.CDLL(None, use_errno=True).setns(place, CLONE_NEWNET) != 0:
            why = os.strerror(ctypes.get_errno())
            return ElsewhereError(f"Addresses are rewritten in the host's network, which cannot be entered: {why}.", MOVE)
        return open_netlink()
    except LoadError as error:
        return error
    finally:
        os.close(place)


def open_netlink() -> socket.socket:
    try:
        opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_NETFILTER)
        opened.bind((0, 0))
    except OSError as error:
        raise LoadError(f"This kernel has no netlink for netfilter: {error.strerror}.", NO_SUCH_KERNEL) from None
    opened.setblocking(False)
    return opened


def subscribe(events: socket.socket) -> None:
    """From now on new and ended connections with rewritten addresses arrive there. LoadError without the privilege."""
    attach_filter(events, rewritten_only())
    widen_buffer(events, EVENTS_BUFFER)
    for group in (GROUP_NEW, GROUP_DESTROY):
        try:
            events.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group)
        except OSError as error:
            raise refusal(error.errno or 0) from None


def attach_filter(receiver: socket.socket, program: bytes) -> None:
    kept = ctypes.create_string_buffer(program)
    receiver.setsockopt(socket.SOL_SOCKET, ATTACH_FILTER, struct.pack("@HP", len(program) // 8, ctypes.addressof(kept)))


def refusal(number: int) -> LoadError:
    """What an error of this socket means for a user."""
    if number in (errno.EPERM, errno.EACCES):
        return LoadError("Connection tracking may not be read without CAP_NET_ADMIN.", GRANT)
    return LoadError(f"This kernel does not tell its tracked connections: {os.strerror(number)}.", NO_SUCH_KERNEL)


def widen_buffer(opened: socket.socket, size: int) -> None:
    """As far as the kernel lets us; what does not fit later is counted."""
    with suppress(OSError):
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
    with suppress(OSError):
        opened.setsockopt(socket.SOL_SOCKET, RECEIVE_BUFFER_FORCE, size)


def receive(opened: socket.socket, most: int) -> tuple[list[bytes], int]:
    """(datagrams that wait, at most so many; how often the kernel had no room for some)."""
    datagrams: list[bytes] = []
    overruns = 0
    while len(datagrams) < most:
        try:
            datagrams.append(opened.recv(LARGEST_DATAGRAM))
        except BlockingIOError:
            break
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            overruns += 1
    return datagrams, overruns
