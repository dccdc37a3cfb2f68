"""Words as numbers: rows carry the number, labels are looked up when somebody asks."""

from __future__ import annotations

NOTHING, OTHER = 0, 1


class TextTable:
    """Bounded: words for which there is no room are `_OTHER` (1) and counted. Number 0 is ''.

    names: number -> word; it grows while it is in use, so a Field may hold it.
    """

    def __init__(self, maximum: int) -> None:
        self._maximum = maximum
        self._numbers = {"": NOTHING, "_OTHER": OTHER}
        self.names = {NOTHING: "", OTHER: "_OTHER"}
        self.overflowed = 0

    @property
    def is_nearly_full(self) -> bool:
        """Seven eighths of the room are taken."""
        return len(self._numbers) >= self._maximum * 7 // 8

    def number(self, word: str) -> int:
        known = self._numbers.get(word)
        if known is not None:
            return known
        if len(self._numbers) >= self._maximum:
            self.overflowed += 1
            return OTHER
        number = len(self._numbers)
        self._numbers[word] = number
        self.names[number] = word
        return number
