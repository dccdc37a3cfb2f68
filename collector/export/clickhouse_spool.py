"""Batches that wait to be sent, bounded in bytes: in memory, and beyond a little in a folder if there is one."""

from __future__ import annotations

import contextlib
import re
import threading
from collections import Counter, deque
from dataclasses import dataclass
from pathlib import Path

IN_MEMORY_BESIDE_FOLDER = 4 << 20
OBJECT_BYTES = 500  # what a batch takes beside its body
FILE_NAME = re.compile(r"(\d{20})-([a-z]+)-([0-9a-f]{16})-(\d+)-(\d+)-(\d+)-([a-z]+)\.native\.gz")


@dataclass(slots=True)
class Parcel:
    """A compressed batch of one table. number: its own, random. first_time, last_time: of its rows, unix ns.

    types: the column types it is written for. body: None while only its file has it. doubtful: it may have arrived already.
    """

    table: str
    number: int
    rows: int
    first_time: int
    last_time: int
    types: str
    size: int
    body: bytes | None
    place: int = 0
    tries: int = 0
    doubtful: bool = False
    filed: bool = False

    @property
    def file_name(self) -> str:
        """All there is to know but the body."""
        times = f"{self.first_time}-{self.last_time}"
        return f"{self.place:020d}-{self.table}-{self.number:016x}-{self.rows}-{times}-{self.types}.native.gz"

    @property
    def token(self) -> str:
        """What tells the server that it is the same batch again."""
        return f"honeyguide-{self.number:016x}"


class Spool:
    """For two threads. What is over `limit` goes, the oldest first. `discarded`: rows by reason."""

    def __init__(self, limit: int, folder: Path | None = None) -> None:
        self._limit, self._folder = limit, folder
        self._arrived = threading.Condition()
        self._parcels: deque[Parcel] = deque()
        self._held = 0
        self._place = 0
        self.discarded: Counter[str] = Counter()
        self.bytes = self.rows = 0
        if folder is not None:
            self._find_left_over(folder)

    def put(self, parcel: Parcel) -> None:
        """At the end of the queue."""
        with self._arrived:
            self._place += 1
            parcel.place = self._place
            if self._folder is not None and self._held + parcel.size > IN_MEMORY_BESIDE_FOLDER:
                self._write(parcel, self._folder)
            self._enter(parcel)
            if parcel.filed:
                self._hold(parcel, None)
            self._parcels.append(parcel)
            self._make_room()
            self._arrived.notify()

    def put_back(self, parcel: Parcel) -> None:
        """Where it was taken from."""
        with self._arrived:
            if parcel.filed:
                self._hold(parcel, None)
            self._parcels.appendleft(parcel)
            self._make_room()

    def take(self, wait_seconds: float) -> Parcel | None:
        """The oldest, with its body; it counts until `forget` or `put_back`. None when there is none in time."""
        with self._arrived:
            if not self._parcels:
                self._arrived.wait(wait_seconds)
            if not self._parcels:
                return None
            parcel = self._parcels.popleft()
            if parcel.body is None and not self._read(parcel):
                self._leave(parcel)
                self.discarded["spool_unreadable"] += parcel.rows
                return None
            return parcel

    def forget(self, parcel: Parcel) -> None:
        """It is done with: its file goes, if it has one."""
        with self._arrived:
            self._leave(parcel)
            self._remove(parcel)

    def wake(self) -> None:
        """Ends a wait in `take`."""
        with self._arrived:
            self._arrived.notify_all()

    def close(self) -> None:
        """What is left goes into the folder for the next run; without one it is counted as lost."""
        with self._arrived:
            while self._parcels:
                parcel = self._parcels.popleft()
                if self._folder is not None:
                    self._write(parcel, self._folder)
                if not parcel.filed:
                    self.discarded["closing"] += parcel.rows
                self._leave(parcel)

    def _enter(self, parcel: Parcel) -> None:
        self.bytes += parcel.size + OBJECT_BYTES
        self.rows += parcel.rows
        self._held += parcel.size if parcel.body is not None else 0

    def _leave(self, parcel: Parcel) -> None:
        self.bytes -= parcel.size + OBJECT_BYTES
        self.rows -= parcel.rows
        self._hold(parcel, None)

    def _hold(self, parcel: Parcel, body: bytes | None) -> None:
        self._held += parcel.size * ((body is not None) - (parcel.body is not None))
        parcel.body = body

    def _make_room(self) -> None:
        while self.bytes > self._limit and self._parcels:
            oldest = self._parcels.popleft()
            self._leave(oldest)
            self._remove(oldest)
            self.discarded["spool_full"] += oldest.rows

    def _find_left_over(self, folder: Path) -> None:
        """Files of an earlier run, oldest first. Nobody knows how its last insert ended."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in folder.glob("*.unfinished"):
            path.unlink(missing_ok=True)
        found = [(match, path) for path in sorted(folder.iterdir()) if (match := FILE_NAME.fullmatch(path.name))]
        for match, path in found:
            place, table, number, rows, first, last, types = match.groups()
            size = path.stat().st_size
            parcel = Parcel(
                table, int(number, 16), int(rows), int(first), int(last), types, size, None, int(place), 0, True, True
            )
            self._enter(parcel)
            self._parcels.append(parcel)
            self._place = parcel.place
        self._make_room()

    def _write(self, parcel: Parcel, folder: Path) -> None:
        """On success the body is in the file only. A full or failing disk leaves it in memory."""
        if parcel.body is None or parcel.filed:
            return
        path = folder / parcel.file_name
        unfinished = path.with_suffix(".unfinished")
        try:
            unfinished.touch(mode=0o600)
            unfinished.write_bytes(parcel.body)
            unfinished.replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                unfinished.unlink(missing_ok=True)
            return
        parcel.filed = True

    def _read(self, parcel: Parcel) -> bool:
        assert self._folder is not None
        try:
            self._hold(parcel, (self._folder / parcel.file_name).read_bytes())
        except OSError:
            return False
        return True

    def _remove(self, parcel: Parcel) -> None:
        if self._folder is not None and parcel.filed:
            with contextlib.suppress(OSError):
                (self._folder / parcel.file_name).unlink(missing_ok=True)
