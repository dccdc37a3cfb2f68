"""Words as numbers, for rows of several probes that number their words each in their own way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from collector.batch import Column

NOTHING, OTHER = 0, 1
NOT_ASKED = np.uint32(0xFFFF_FFFF)
LARGEST_NUMBER = 1 << 20  # of a probe; one that is larger stands for nothing


class Words(Protocol):
    """generation: codes given in an earlier one must not be given to further rows."""

    generation: int
    overflowed: int

    @property
    def words(self) -> Sequence[str]:
        """The word by code, for all codes that rows hold now; whoever has read it may keep it without a lock."""
        ...

    def code(self, word: str) -> int: ...


class WordTable:
    """Bounded: code 0 is '', code 1 '_OTHER' for words that find no room, which are counted. Codes never change."""

    generation = 0

    def __init__(self, maximum: int, known: Sequence[str] = ()) -> None:
        self._maximum = maximum
        self._words = ["", "_OTHER", *known]
        self._codes = {word: code for code, word in enumerate(self._words)}
        self.overflowed = 0

    @property
    def words(self) -> Sequence[str]:
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


class PassingWords:
    """Words without end, such as paths with ids, for the rows of a bounded history: two generations of `room` codes in turn.

    Every new word comes with a row. When a generation is full, `room` rows have come since it began, so nothing holds codes
    of the one before any more, if room is three times the history's capacity and no batch is larger than that capacity.
    """

    overflowed = 0

    def __init__(self, room: int) -> None:
        self._room = room
        self._words = [""] * (1 + 2 * room)
        self._codes = {"": NOTHING}
        self.generation = 0

    @property
    def words(self) -> Sequence[str]:
        return self._words

    def code(self, word: str) -> int:
        """The code of `word` in this generation, or the next."""
        known = self._codes.get(word)
        if known is not None:
            return known
        if len(self._codes) > self._room:
            self._begin_generation()
        code = self._codes[word] = self._room * (self.generation % 2) + len(self._codes)
        self._words[code] = word
        return code

    def _begin_generation(self) -> None:
        self.generation += 1
        self._codes = {"": NOTHING}
        self._words = self._words.copy()  # readers may still look into the old one


class WordTranslation:
    """From one probe's numbers to codes of a table: each number is looked at once, when a row has it. names may grow."""

    def __init__(self, names: Mapping[int, str], table: Words) -> None:
        self._names = names
        self._table = table
        self._generation = table.generation
        self._codes: Column = np.zeros(0, np.uint32)  # by number

    def translate(self, numbers: Column) -> Column:
        """Codes, uint32 of shape (n,); 0 for numbers without a name."""
        if not len(numbers):
            return np.zeros(0, np.uint32)
        if self._generation != self._table.generation:
            self._generation = self._table.generation
            self._codes[:] = NOT_ASKED
        within = np.minimum(numbers, LARGEST_NUMBER)
        self._make_room(int(within.max()) + 1)
        codes: Column = self._codes[within]
        unknown = codes == NOT_ASKED
        if unknown.any():
            self._learn(np.unique(within[unknown]).tolist())
            codes = self._codes[within]
            codes[codes == NOT_ASKED] = NOTHING
        return codes

    def _learn(self, numbers: Sequence[int]) -> None:
        """A number without a name may get one later."""
        for number in numbers:
            name = self._names.get(number) if number < LARGEST_NUMBER else None
            if name is not None:
                self._codes[number] = self._table.code(name)

    def _make_room(self, size: int) -> None:
        if size > len(self._codes):
            more = np.full(max(size, 2 * len(self._codes)) - len(self._codes), NOT_ASKED, np.uint32)
            self._codes = np.concatenate([self._codes, more])
