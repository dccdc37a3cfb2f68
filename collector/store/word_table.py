"""Words as numbers, for rows of several probes that number their words each in their own way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice

import numpy as np

from collector.batch import Column

NOTHING, OTHER = 0, 1
LARGEST_NUMBER = 1 << 20  # of a probe; one that is larger stands for nothing


class WordTable:
    """Bounded: code 0 is '', code 1 '_OTHER' for words that find no room, which are counted. Codes never change."""

    def __init__(self, maximum: int, known: Sequence[str] = ()) -> None:
        self._maximum = maximum
        self._words = ["", "_OTHER", *known]
        self._codes = {word: code for code, word in enumerate(self._words)}
        self.overflowed = 0

    @property
    def words(self) -> Sequence[str]:
        """Every word, by code. Grows at its end only, so whoever reads it needs neither copy nor lock."""
        return self._words

    def code(self, word: str) -> int:
        """The code of `word`, a new one at first sight."""
        known = self._codes.get(word)
        if known is not None:
            return known
        if len(self._words) >= self._maximum:
            self.overflowed += 1
            return OTHER
        code = self._codes[word] = len(self._words)
        self._words.append(word)
        return code


class WordTranslation:
    """From one probe's numbers to codes of a table: each number is looked at once. names: may grow while in use."""

    def __init__(self, names: Mapping[int, str], table: WordTable) -> None:
        self._names = names
        self._table = table
        self._known = 0
        self._codes: Column = np.zeros(1, np.uint32)  # by number; the last for numbers without a name

    def translate(self, numbers: Column) -> Column:
        """Codes, uint32 of shape (n,)."""
        if len(self._names) > self._known:
            self._learn()
        codes: Column = self._codes[np.minimum(numbers, len(self._codes) - 1)]
        return codes

    def _learn(self) -> None:
        added = dict(islice(self._names.items(), self._known, None))
        self._known += len(added)
        usable = {number: word for number, word in added.items() if 0 <= number < LARGEST_NUMBER}
        missing = max(usable, default=0) + 2 - len(self._codes)
        if missing > 0:
            self._codes = np.concatenate([self._codes, np.zeros(missing, np.uint32)])
        for number, word in usable.items():
            self._codes[number] = self._table.code(word)
