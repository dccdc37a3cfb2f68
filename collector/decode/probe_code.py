"""A probe's own probe.py: columns that a manifest cannot describe, computed from whole batches, within a time, or not at all.

It runs in the agent's process with the agent's privileges, so only from a folder that nobody but root or the agent's user
can write. What it raises, and what takes too long, stops that probe and nothing else.
"""

from __future__ import annotations

import ctypes
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from collector.batch import Batch, Column, Rows
from collector.catalog.trust import check_trusted
from collector.errors import ManifestError

Function = Callable[[str, Rows], Mapping[str, Column]]


class OverTimeError(BaseException):
    """Raised inside probe.py by the alarm; no Exception, so that `except Exception` there does not swallow it."""


class ProbeCode:
    """columns(record, rows) of one probe.py; it gets a copy of the rows."""

    def __init__(self, path: Path, function: Function, seconds: float) -> None:
        self._path = str(path)
        self._function = function
        self._seconds = seconds

    def add_columns(self, batch: Batch, computed: Mapping[str, str]) -> str:
        """'' when every column that the manifest promises was added to the batch, else what went wrong, with its line."""
        alarm = Alarm(self._seconds)
        try:
            with alarm:
                made = self._function(batch.schema.record, batch.rows.copy())
            batch.columns.update(fit_columns(made, computed, len(batch)))
        except OverTimeError:
            return f"probe.py took longer than {self._seconds:g} s for {len(batch)} rows (HONEYGUIDE_PROBE_PYTHON_MAX)."
        except BaseException as error:  # noqa: BLE001 -- even SystemExit is the probe's affair alone
            return f"{self._place(error)}: {type(error).__name__}: {error}"
        return ""

    def _place(self, error: BaseException) -> str:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == self._path]
        return f"probe.py:{lines[-1]}" if lines else "probe.py"


def fit_columns(made: object, computed: Mapping[str, str], rows: int) -> dict[str, Column]:
    """The columns in the types that the manifest promises; ValueError when one is missing or of another length."""
    if not isinstance(made, Mapping):
        raise TypeError(f"columns() gave {type(made).__name__} and not a dictionary of arrays")
    fitted = {}
    for name, kind in computed.items():
        if name not in made:
            raise ValueError(f"columns() gave no column {name!r}, which probe.toml promises")
        fitted[name] = np.asarray(made[name]).astype(np.dtype(kind))
        if fitted[name].shape != (rows,):
            raise ValueError(f"column {name!r} has the shape {fitted[name].shape}; there are {rows} rows")
    return fitted


def read_code(probe: str, path: Path, seconds: float) -> ProbeCode:
    """ManifestError when others could have written it, or it has no columns(record, rows)."""
    check_trusted(path)
    space: dict[str, Any] = {"__name__": f"probe_{probe}", "__file__": str(path)}
    try:
        with Alarm(max(seconds, 5.0)):
            exec(compile(path.read_bytes(), str(path), "exec"), space)
    except (SyntaxError, OverTimeError) as error:
        raise ManifestError(f"{path}:{getattr(error, 'lineno', 0)}: {error!r}.", "Mend probe.py.") from None
    except BaseException as error:  # noqa: BLE001 -- whatever it raises, it cannot be used
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        raise ManifestError(f"{path}:{lines[-1] if lines else 0}: {error!r}.", "Mend probe.py.") from None
    if not callable(space.get("columns")):
        raise ManifestError(f"{path} has no function columns(record, rows).", "docs/adding-a-probe.md shows one.")
    return ProbeCode(path, space["columns"], seconds)


class Alarm:
    """Raises OverTimeError in the thread that entered it when it stays longer than so many seconds.

    Python looks for such an exception between two of its own instructions; one long call into C is not cut short.
    """

    def __init__(self, seconds: float) -> None:
        self._timer = threading.Timer(seconds, self._ring)
        self._timer.daemon = True
        self._thread = threading.get_ident()
        self._lock = threading.Lock()
        self._over = False
        self._rung = False

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, kind: type[BaseException] | None, *_rest: object) -> None:
        with self._lock:
            self._over = True
        self._timer.cancel()
        if self._rung and kind is not OverTimeError:  # on its way: let it come here and nowhere else
            with suppress(OverTimeError):
                while True:
                    time.sleep(0.001)
            raise OverTimeError

    def _ring(self) -> None:
        with self._lock:
            if not self._over:
                self._rung = True
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread), ctypes.py_object(OverTimeError))
