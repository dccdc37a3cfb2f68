"""What a ClickHouse server's refusal means for the rows: send again, wait, or give up. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from collector.export.otlp_outcome import Outcome

# ClickHouse source, src/Common/ErrorCodes.cpp
UNAUTHORIZED = frozenset({192, 193, 194, 291, 497, 516})
OVERLOADED = frozenset({159, 201, 202, 203, 241, 242, 243, 252, 290, 425, 473, 745, 999})
WRONG_ROWS = frozenset(
    {6, 8, 16, 20, 26, 27, 33, 36, 38, 41, 43, 44, 46, 47, 50, 53, 62, 69, 70, 72, 115, 117, 131, 190, 261, 637}
)
NO_TABLE, NO_DATABASE = 60, 81
WORDS: Mapping[str, frozenset[int]] = {
    "unauthorized": UNAUTHORIZED,
    "throttled": OVERLOADED,
    "rejected": WRONG_ROWS,
    "no_table": frozenset({NO_TABLE}),
    "no_database": frozenset({NO_DATABASE}),
}
# Refusals that come before anything can have been stored; after any other failure nobody knows.
NOT_STORED = frozenset({"closing", "refused", "unresolved", "tls", "unauthorized", "no_table", "no_database", "types"})
# The rows are at fault: the same would be refused again.
HOPELESS = frozenset({"rejected", "types"})
# Nobody but the server can say whether it will ever take them: so many tries, then they make way for the next.
BOUNDED_TRIES = frozenset({"unexpected"})

_CODE = re.compile(rb"^Code: (\d{1,5})\b[.,]? ?(.*)", re.DOTALL)
_NOISE = re.compile(
    r"^e\.displayText\(\) = |^DB::Exception: |, e\.what\(\) = DB::Exception$|\(version [^)]*\)$| Stack trace:.*", re.DOTALL
)


def read_refusal(outcome: Outcome, body: bytes) -> Outcome:
    """outcome: what the HTTP status alone says. The exception's code says more, for all kinds of errors come with status 500."""
    match = _CODE.match(body)
    if match is None:
        return replace(outcome, reason="misunderstood") if outcome.reason == "rejected" else outcome
    code = int(match[1])
    reason = next((word for word, codes in WORDS.items() if code in codes), "unexpected")
    return Outcome(reason, f"ClickHouse error {code}: {_message(match[2])}", retry_after=outcome.retry_after)


def _message(body: bytes) -> str:
    text = body.decode("utf-8", "replace").strip()
    for _ in range(3):
        text = _NOISE.sub("", text).strip()
    return text


def read_version(text: str) -> tuple[int, ...]:
    """(18, 16) of '18.16.1'; () when it is no version."""
    numbers = text.strip().split(".")[:2]
    return tuple(map(int, numbers)) if len(numbers) == 2 and all(one.isdecimal() for one in numbers) else ()
