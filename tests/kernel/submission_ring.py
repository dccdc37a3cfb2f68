"""io_uring by its three system calls: enough to receive from and send to a socket (include/uapi/linux/io_uring.h)."""

from __future__ import annotations

import ctypes
import mmap
import os
import struct

SYS_IO_URING_SETUP, SYS_IO_URING_ENTER = 425, 426  # the same on all machines
PARAMETERS = struct.Struct("7I3I10I10I")  # sizes and features, reserved, then the offsets of both rings
SUBMISSION = struct.Struct("<BBHiQQII Q HHI QQ")  # struct io_uring_sqe
COMPLETION = struct.Struct("<QiI")  # struct io_uring_cqe
OFFSET_OF_RINGS, OFFSET_OF_SUBMISSIONS = 0, 0x10000000
GET_EVENTS = 1
SEND, RECEIVE = 26, 27
ENTRIES = 8


class SubmissionRing:
    """One operation at a time. Needs a kernel of 5.6 or later, and io_uring allowed; OSError else."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(None, use_errno=True)
        parameters = ctypes.create_string_buffer(PARAMETERS.size)
        self._ring = self._call(SYS_IO_URING_SETUP, ENTRIES, parameters)
        told = PARAMETERS.unpack(parameters.raw)
        (self._tail, self._mask, self._array) = (told[11], told[12], told[16])
        (self._completed_head, self._completed_tail, self._completed_mask, self._completions) = (*told[20:23], told[25])
        length = max(self._completions + told[1] * COMPLETION.size, self._array + told[0] * 4)
        self._rings = mmap.mmap(self._ring, length, mmap.MAP_SHARED, offset=OFFSET_OF_RINGS)
        self._submissions = mmap.mmap(self._ring, ENTRIES * SUBMISSION.size, mmap.MAP_SHARED, offset=OFFSET_OF_SUBMISSIONS)

    def _call(self, number: int, *arguments: object) -> int:
        result: int = self._library.syscall(number, *arguments)
        if result < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return result

    def _read(self, at: int) -> int:
        (value,) = struct.unpack_from("<I", self._rings, at)
        return int(value)

    def submit(self, operation: int, descriptor: int, buffer: ctypes.Array[ctypes.c_char], length: int) -> None:
        """Begins; `buffer` must stay until `wait`."""
        tail = self._read(self._tail)
        slot = tail & self._read(self._mask)
        fields = (operation, 0, 0, descriptor, 0, ctypes.addressof(buffer), length, 0, 0, 0, 0, 0, 0, 0)
        SUBMISSION.pack_into(self._submissions, slot * SUBMISSION.size, *fields)
        struct.pack_into("<I", self._rings, self._array + 4 * slot, slot)
        struct.pack_into("<I", self._rings, self._tail, tail + 1)
        self._call(SYS_IO_URING_ENTER, self._ring, 1, 0, 0, None, 0)

    def has_completed(self) -> bool:
        return self._read(self._completed_tail) != self._read(self._completed_head)

    def wait(self) -> int:
        """What the operation gave: bytes, or minus an error's number."""
        head = self._read(self._completed_head)
        if not self.has_completed():
            self._call(SYS_IO_URING_ENTER, self._ring, 0, 1, GET_EVENTS, None, 0)
        at = self._completions + (head & self._read(self._completed_mask)) * COMPLETION.size
        _, result, _ = COMPLETION.unpack_from(self._rings, at)
        struct.pack_into("<I", self._rings, self._completed_head, head + 1)
        return int(result)

    def close(self) -> None:
        self._rings.close()
        self._submissions.close()
        os.close(self._ring)
