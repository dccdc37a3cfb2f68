"""Reads one value of a bolt database (podman before 5, https://pkg.go.dev/go.etcd.io/bbolt) from its bytes. Pure.

Pages of a B+ tree: two meta pages, of which the newer one leads to the root; branches lead to pages, leaves hold keys with values
or with buckets, which are trees of their own. What a file says is never trusted: ValueError for whatever cannot be.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

PAGE = struct.Struct("<QHHI")  # id, flags, elements, further pages
BRANCH, LEAF = 0x01, 0x02
META = struct.Struct("<4I2Q3Q")  # magic, version, page size, flags; root's page, sequence; free list, pages, transaction
MAGIC, VERSION = 0xED0CDAED, 2
ELEMENT = struct.Struct("<4I")  # of a leaf: flags, place (from here), key's size, value's size
ELEMENT_OF_BRANCH = struct.Struct("<IIQ")  # place, key's size, page
BUCKET = struct.Struct("<QQ")  # root's page (0: it follows here), sequence
IS_BUCKET = 0x01
DEEPEST = 32


class Tree(NamedTuple):
    """page: of the root; 0 when the root is `inline`."""

    page: int
    inline: bytes = b""


class BoltFile:
    """ValueError when it is no such database."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._size, self._root = self._read_meta()

    def get(self, buckets: Sequence[bytes], key: bytes) -> bytes | None:
        """The value of a key in a bucket within buckets; None when there is none."""
        tree: Tree | None = Tree(self._root)
        for name in buckets:
            found = self._find(tree, name) if tree else None
            tree = read_bucket(found[1]) if found and found[0] & IS_BUCKET else None
        found = self._find(tree, key) if tree else None
        return found[1] if found and not found[0] & IS_BUCKET else None

    def _read_meta(self) -> tuple[int, int]:
        """(page size, root's page) of the newer one of both that is whole enough."""
        found = []
        for size in (0, 4096, 8192, 16384, 65536):
            if len(self._content) < size + PAGE.size + META.size:
                break
            magic, version, page_size, _, root, _, _, _, transaction = META.unpack_from(self._content, size + PAGE.size)
            if (magic, version) == (MAGIC, VERSION) and page_size >= 512:
                found.append((transaction, page_size, root))
        if not found:
            raise ValueError("no bolt database")
        return max(found)[1:]

    def _find(self, tree: Tree, key: bytes) -> tuple[int, bytes] | None:
        """(flags, value)."""
        page, start = (tree.inline, 0) if tree.page == 0 else (self._content, tree.page * self._size)
        for _ in range(DEEPEST):
            _, flags, count, _ = unpack(PAGE, page, start)
            if flags & LEAF:
                return find_in_leaf(page, start + PAGE.size, count, key)
            if not flags & BRANCH or page is tree.inline:
                break
            start = self._size * find_in_branch(page, start + PAGE.size, count, key)
        raise ValueError("no bolt page")


def find_in_leaf(page: bytes, start: int, count: int, key: bytes) -> tuple[int, bytes] | None:
    for place in range(start, start + count * ELEMENT.size, ELEMENT.size):
        flags, offset, key_size, value_size = unpack(ELEMENT, page, place)
        at = place + offset
        if page[at : at + key_size] == key:
            value = page[at + key_size : at + key_size + value_size]
            if len(value) != value_size:
                raise ValueError("a bolt value is cut off")
            return flags, value
    return None


def find_in_branch(page: bytes, start: int, count: int, key: bytes) -> int:
    """The page whose first key is the last one that is not beyond."""
    child = 0
    for place in range(start, start + count * ELEMENT_OF_BRANCH.size, ELEMENT_OF_BRANCH.size):
        offset, key_size, number = unpack(ELEMENT_OF_BRANCH, page, place)
        if child and page[place + offset : place + offset + key_size] > key:
            break
        child = number
    return child


def read_bucket(value: bytes) -> Tree:
    page, _ = unpack(BUCKET, value, 0)
    return Tree(page, value[BUCKET.size :])


def unpack(form: struct.Struct, content: bytes, start: int) -> tuple[int, ...]:
    if start + form.size > len(content):
        raise ValueError("a bolt page is cut off")
    return form.unpack_from(content, start)
