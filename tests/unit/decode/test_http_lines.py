import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from collector.decode.http_lines import hash_lines

WIDTH = 192
lines = st.binary(max_size=60) | st.sampled_from([b"GET / HTTP/1.1", b"GET /" + b"a" * 200, b"POST /" + b"b" * 186])
heads = st.tuples(lines, st.sampled_from([b"", b"\r", b"\r\nHost: a", b"\r\nHost: b\r\n"]), st.integers(0, WIDTH))


def line_of(head: bytes, captured: int) -> bytes:
    return head[:captured].split(b"\r")[0]


@given(st.lists(heads, min_size=1, max_size=40))
def test_lines_are_alike_when_their_bytes_are_and_end_where_they_do(asked: list[tuple[bytes, bytes, int]]) -> None:
    texts = [(line + rest)[:WIDTH] for line, rest, _ in asked]
    captured = [min(limit, len(text)) for text, (_, _, limit) in zip(texts, asked, strict=True)]
    rows = np.zeros(len(asked), [("before", "u4"), ("head", "u1", (WIDTH,)), ("behind", "u2")])
    # what lies behind the capture is of an earlier request
    rows["head"] = [np.frombuffer(text.ljust(WIDTH, b"\r"), np.uint8) for text in texts]
    keys, ends = hash_lines(rows["head"], np.array(captured))
    expected = [line_of(text, size) for text, size in zip(texts, captured, strict=True)]
    assert ends.tolist() == [len(line) for line in expected]
    named: dict[bytes, int] = {}
    for key, line, text, size in zip(keys.tolist(), expected, texts, captured, strict=True):
        whole = len(line) < size or len(line) == WIDTH or text[len(line) : len(line) + 1] == b"\r"
        if whole:
            assert named.setdefault(line, key) == key
    assert len(set(named.values())) == len(named)
