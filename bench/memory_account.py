"""A collector that says where its memory is, to whoever connects to a socket: for `soak.py`.

    python bench/memory_account.py SOCKET [--traced] -- run [options]

Each connection is answered with one JSON object: what glibc and Python hold and what of it is free, objects by type and, with
--traced (twice the CPU), what was allocated by file. Words sent first: `trim` gives back to the kernel what glibc has free.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import re
import socket
import sys
import tempfile
import threading
import tracemalloc
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MIB = 2**20
sys.path[:0] = [str(ROOT)]


class Mallinfo2(ctypes.Structure):
    """As mallinfo(3) has it."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")
    ]


def c_library() -> dict[str, float]:
    """MiB: used, free (kept by glibc in its arenas), mapped (large blocks)."""
    read = ctypes.CDLL(None).mallinfo2
    read.restype = Mallinfo2
    found = read()
    return {"used": found.uordblks / MIB, "free": found.fordblks / MIB, "mapped": found.hblkhd / MIB}


def python_objects() -> dict[str, float]:
    """MiB of small objects: used, and free within the arenas that Python holds; it writes them to descriptor 2 only."""
    kept = os.dup(2)
    with tempfile.TemporaryFile() as report:
        os.dup2(report.fileno(), 2)
        try:
            sys._debugmallocstats()
        finally:
            os.dup2(kept, 2)
            os.close(kept)
        report.seek(0)
        text = report.read().decode()
    pattern = r"arenas? \* \d+ bytes/arena\s+=\s+([\d,]+)[\s\S]*# bytes in allocated blocks\s+=\s+([\d,]+)"
    found = re.search(pattern, text)
    if found is None:  # while tracemalloc looks on
        return {}
    total, used = (int(number.replace(",", "")) / MIB for number in found.groups())
    return {"used": used, "free": total - used}


def resident() -> dict[str, float]:
    """MiB that the kernel counts, of /proc/self/status."""
    status = dict(re.findall(r"^(\w+):\s+(\d+)", Path("/proc/self/status").read_text(), re.MULTILINE))
    return {name: int(status[name]) / 1024 for name in ("VmRSS", "RssAnon", "RssFile", "RssShmem")}


def objects_by_type(most: int = 25) -> dict[str, tuple[int, float]]:
    """Type -> (how many, MiB of themselves), of what the garbage collector knows."""
    count, size = Counter(), Counter()
    for one in gc.get_objects():
        name = type(one).__qualname__
        count[name] += 1
        size[name] += sys.getsizeof(one, 0)
    return {name: (count[name], bytes_ / MIB) for name, bytes_ in size.most_common(most)}


def traced_by_line(most: int = 40) -> dict[str, float]:
    """MiB allocated since the start and still there, by the line that did it."""
    found = tracemalloc.take_snapshot().statistics("lineno")[:most]
    return {f"{one.traceback[0].filename.removeprefix(f'{ROOT}/')}:{one.traceback[0].lineno}": one.size / MIB for one in found}


def account() -> dict[str, object]:
    told: dict[str, object] = {"c_library": c_library(), "python": python_objects(), "kernel": resident()}
    if tracemalloc.is_tracing():
        gc.collect()
        told["traced"] = tracemalloc.get_traced_memory()[0] / MIB
        told["traced_peak"] = tracemalloc.get_traced_memory()[1] / MIB
        told["lines"] = traced_by_line()
        told["types"] = objects_by_type()
        tracemalloc.reset_peak()
    return told


def answer(listener: socket.socket) -> None:
    while True:
        connection, _ = listener.accept()
        with connection:
            if connection.recv(16) == b"trim":
                ctypes.CDLL(None).malloc_trim(0)
            connection.sendall(json.dumps(account()).encode())


def main() -> int:
    place, *words = sys.argv[1:]
    if words[0] == "--traced":
        tracemalloc.start()
        words = words[1:]
    from collector.__main__ import main as run  # noqa: PLC0415 -- what it allocates is traced

    listener = socket.socket(socket.AF_UNIX)
    listener.bind(place)
    listener.listen()
    threading.Thread(target=answer, args=[listener], daemon=True).start()
    return run(words[1:])


if __name__ == "__main__":
    sys.exit(main())
