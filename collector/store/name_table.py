"""Small codes for names: rows hold one byte, not a text."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from collector.batch import Column

NAMES_MAX = 255


class NameTable:
    """Small codes for names. Code 0 is '' (not told); when the codes are used up, what comes more is ''."""

    def __init__(self, *known: str) -> None:
        self._names = ["", *known]
        self._codes = {name: code for code, name in enumerate(self._names)}

    @property
    def names(self) -> tuple[str, ...]:
        """Every name, by code."""
        return tuple(self._names)

    def code(self, name: str) -> int:
        """The code of `name`, a new one at first sight."""
        code = self._codes.get(name)
        if code is None:
            if len(self._names) >= NAMES_MAX:
                return 0
            code = self._codes[name] = len(self._names)
            self._names.append(name)
        return code

    def codes(self, names: tuple[str, ...]) -> list[int]:
        """Codes of those `names` that were ever seen."""
        return [self._codes[name] for name in names if name in self._codes]

    def encode(self, values: Column, names: Mapping[int, str]) -> Column:
        """Codes, u1 of shape (n,), of enum values with these names; a value without a name is called by its number."""
        distinct, which = np.unique(values, return_inverse=True)
        codes = [self.code(names.get(value, str(value))) for value in distinct.tolist()]
        encoded: Column = np.array(codes, np.uint8)[which]
        return encoded
