"""Which line of a manifest's text a key stands in, for error messages. Pure; good guesses for TOML as people write it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import zip_longest


def line_of(text: str, location: Sequence[str | int]) -> int:
    """1-based line of the key that `location` leads to (as pydantic gives it); of what is around it where the key is missing."""
    lines, start, end, found = text.splitlines(), 0, None, 1
    for step, after in zip_longest(location, location[1:]):
        if isinstance(step, int):
            continue
        table = find_table(lines, step, after if isinstance(after, int) else 0, start)
        if table is not None:
            start, end = table
            found = start + 1
            continue
        key = find_key(lines, step, start, len(lines) if end is None else end)
        if key is not None:
            start, found = key, key + 1
    return found


def find_table(lines: Sequence[str], name: str, number: int, start: int) -> tuple[int, int] | None:
    """(line of the header, line after its end) of the table called so, the `number`-th of an array of tables."""
    header = re.compile(rf"^\s*\[\[?{re.escape(name)}\]\]?\s*(#.*)?$")
    places = [index for index in range(start, len(lines)) if header.match(lines[index])]
    if number >= len(places):
        return None
    begin = places[number]
    after = (index for index in range(begin + 1, len(lines)) if lines[index].lstrip().startswith("["))
    return begin, next(after, len(lines))


def find_key(lines: Sequence[str], name: str, start: int, end: int) -> int | None:
    key = re.compile(rf'(^|[\s{{,])"?{re.escape(name)}"?\s*=')
    return next((index for index in range(start, end) if key.search(lines[index])), None)


def line_with(text: str, words: Sequence[str]) -> int:
    """1-based line in which the last of `words` stands, looked for from where those before it stand; 0 when there is none."""
    lines, found = text.splitlines(), -1
    for word in words:
        whole = re.compile(rf"(?<![\w.]){re.escape(word)}(?![\w.])")
        start = max(found, 0)
        place = next((index for index in range(start, len(lines)) if whole.search(lines[index])), None)
        found = found if place is None else place
    return found + 1
