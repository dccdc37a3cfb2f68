"""The Huffman code of HPACK (RFC 7541, 5.2 and appendix B), decoded a byte at a time by a machine that grows as it is used."""

from __future__ import annotations

# Bits of the code of every symbol 0..255 and of the end-of-string symbol; the code is canonical, so they define it.
CODE_LENGTHS = (
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28,
    28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8,
    15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7,
    8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7,
    7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23,
    23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21,
    23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21,
    26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
)  # fmt: skip
END_OF_STRING = 256
STEPS_MAX = 16_384  # of at most 256 states x 256 bytes that are kept

Step = tuple[int, bytes]  # next state (-1: no valid code), symbols that ended


def _build_tree() -> list[list[int]]:
    """Inner nodes, the root first: [child of bit 0, child of bit 1]; a child < 0 is the symbol -1 - child."""
    nodes = [[0, 0]]
    code = 0
    length = 0
    for symbol in sorted(range(257), key=lambda one: (CODE_LENGTHS[one], one)):
        code <<= CODE_LENGTHS[symbol] - length
        length = CODE_LENGTHS[symbol]
        node = 0
        for shift in range(length - 1, 0, -1):
            bit = code >> shift & 1
            if not nodes[node][bit]:
                nodes.append([0, 0])
                nodes[node][bit] = len(nodes) - 1
            node = nodes[node][bit]
        nodes[node][code & 1] = -1 - symbol
        code += 1
    return nodes


def _find_padding_states() -> frozenset[int]:
    """Where a string may end: after fewer than eight ones, the beginning of the end-of-string code."""
    states = [0]
    for _ in range(7):
        states.append(TREE[states[-1]][1])
    return frozenset(states)


TREE = _build_tree()
MAY_END = _find_padding_states()
_steps: dict[int, Step] = {}


def decode_huffman(data: bytes) -> bytes | None:
    """None when `data` holds the end-of-string symbol or is padded with anything but up to seven ones."""
    state = 0
    parts = []
    for byte in data:
        key = state << 8 | byte
        step = _steps.get(key) or _make_step(key)
        state, symbols = step
        if state < 0:
            return None
        parts.append(symbols)
    return b"".join(parts) if state in MAY_END else None


def _make_step(key: int) -> Step:
    node = key >> 8
    symbols = bytearray()
    for shift in range(7, -1, -1):
        node = TREE[node][key >> shift & 1]
        if node < 0:
            if node == -1 - END_OF_STRING:
                return -1, b""
            symbols.append(-1 - node)
            node = 0
    step = node, bytes(symbols)
    if len(_steps) < STEPS_MAX:
        _steps[key] = step
    return step
