"""SQL statements: what they do, to which table, and their text without any literal."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

from collector.decode.protocols.sql_outline import DEFINITIONS, NAME_LENGTH, OTHER, Outline, read_outline
from collector.decode.protocols.sql_tokens import LITERAL, NAME, NUMBER, TRACE_PARENT, WORD, Dialect, Token, read_tokens
from collector.instruments import AttributeValue

__all__ = ["STATEMENT_BYTES", "Dialect", "Statement", "StatementReader", "find_reader", "read_statement"]

STATEMENT_BYTES = 8192  # what is read of one text
TEXT_LENGTH = 2048  # what is kept of one sanitised text
CACHED = 1024  # statements of one reader, of which each takes up to twice SKELETON_BYTES
SKELETON_BYTES = 2048
# Operations whose statements have names of people, or bare words as values, where only a grammar could tell them.
PERSONAL = frozenset(("GRANT", "REVOKE", "SET", "REASSIGN", OTHER))
PERSONAL_WORDS = frozenset(("USER", "ROLE", "OWNER", "AUTHORIZATION", "DEFINER", "IDENTIFIED", "PASSWORD"))
BODIES = frozenset(("FUNCTION", "PROCEDURE", "TRIGGER", "EVENT"))  # of CREATE: semicolons may be inside

VALUE = r"(?:\?|\$\d+|(?i:DEFAULT|NULL))"
ROW = rf"\({VALUE}(?:, {VALUE})*\)"
REPETITIONS = (
    (re.compile(rf"\bIN ?\({VALUE}(?:, {VALUE})+\)", re.IGNORECASE), "IN (?)"),
    (re.compile(rf"\[{VALUE}(?:, {VALUE})+\]"), "[?]"),
    (re.compile(rf"({ROW})(?:, {ROW})+"), r"\1"),
)

# Literals, and in a group all between them. Two texts with equal groups in equal places differ only in their literals.
PLAIN_STRING = rb"'(?:[^'\\]++|'')*'(?![\w'\"\x80-\xff])"
BETWEEN = rb"[A-Za-z_\x80-\xff][\w$\x80-\xff]*+|[ \t\r\n(),;=*<>+/:%|!?@&^~\[\]{}#-]++|\.(?![0-9])|\$[0-9]++"
SKELETONS = [
    re.compile(PLAIN_STRING + rb"|" + NUMBER + rb"|((?:" + BETWEEN + rb"|" + quoted + rb")+|.)", re.DOTALL)
    for quoted in (rb'"[^"]++"', rb"`[^`\x80-\xff]++`", rb"`[^`\x80-\xff]++`")
]
DOLLAR_QUOTE = re.compile(rb"\$(?![0-9])")


@dataclass(frozen=True, slots=True)
class Statement:
    """What one text asks for; it holds no literal of it.

    operation: keyword; "BATCH keyword" for several of one kind, "BATCH" of several kinds; _OTHER when unknown, '' when there is
    nothing. collection: the one table that is read or changed, '' unless that is certain. attributes: db.query.summary,
    db.operation.batch.size and, when asked for, db.query.text. trace_parent: from a comment, '' none. database: of USE.
    """

    operation: str = ""
    collection: str = ""
    trace_parent: str = ""
    database: str = ""
    attributes: Mapping[str, AttributeValue] = field(default_factory=dict)

    def traced(self, trace_parent: str) -> Statement:
        """The same with another traceparent."""
        return Statement(self.operation, self.collection, trace_parent, self.database, self.attributes)


class StatementReader:
    """Reads texts of one dialect and remembers what it found for those that differ in literals only, none of which it keeps."""

    def __init__(self, dialect: Dialect, *, keep_text: bool = False) -> None:
        self._dialect = dialect
        self._keep_text = keep_text
        self._known: dict[bytes, Statement] = {}
        self._divide = SKELETONS[dialect.value].findall
        self._find_skeleton = _find_postgresql_skeleton if dialect is Dialect.POSTGRESQL else _find_mysql_skeleton

    def read(self, text: bytes, *, truncated: bool = False) -> Statement:
        """The statement or statements in `text`; truncated: the text went on."""
        known = self._known.get(text)  # without any literal a text is its own skeleton
        if known and not truncated and b"\0" not in text:
            return known
        if truncated or len(text) > STATEMENT_BYTES or b"\\" in text:
            return read_statement(text, self._dialect, keep_text=self._keep_text, truncated=truncated)
        if b"--" not in text and b"/*" not in text:
            return self._recall(text) or read_statement(text, self._dialect, keep_text=self._keep_text)
        bare, trace_parent = _strip_comment(text)
        known = self._recall(bare) if b"--" not in bare and b"/*" not in bare else None
        if known is None:
            return read_statement(text, self._dialect, keep_text=self._keep_text)
        return known.traced(trace_parent) if trace_parent else known

    def _recall(self, text: bytes) -> Statement | None:
        """What texts like this one ask for; None when finding its literals takes more than a glance."""
        skeleton = self._find_skeleton(b"\0".join(self._divide(text)))
        if not skeleton:
            return None
        return self._known.get(skeleton) or self._learn(skeleton, text)

    def _learn(self, skeleton: bytes, text: bytes) -> Statement:
        statement = read_statement(text, self._dialect, keep_text=self._keep_text)
        if len(self._known) >= CACHED:
            del self._known[next(iter(self._known))]
        if len(skeleton) <= SKELETON_BYTES:
            self._known[skeleton] = statement
        return statement


def _find_postgresql_skeleton(skeleton: bytes) -> bytes:
    """`skeleton`, or b'' when it may hold a part of a literal, because finding literals took more than a glance."""
    if b"'" in skeleton or b"`" in skeleton or skeleton.count(b'"') & 1:
        return b""
    return b"" if b"$" in skeleton and DOLLAR_QUOTE.search(skeleton) else skeleton


def _find_mysql_skeleton(skeleton: bytes) -> bytes:
    return b"" if b"'" in skeleton or b'"' in skeleton or b"#" in skeleton or skeleton.count(b"`") & 1 else skeleton


def _strip_comment(text: bytes) -> tuple[bytes, str]:
    """`text` without the comment at its end or else at its beginning, as tracing libraries write them, and its traceparent.

    That /* begins a comment is certain only when what is before it can be read; a comment with a comment in it stays.
    """
    bare = text.rstrip(b"; \n")
    if bare.endswith(b"*/"):
        start, end = bare.rfind(b"/*"), len(bare) - 2
        bare = bare[:start]
    else:
        start, end = 0, text.find(b"*/") if text.startswith(b"/*") else -1
        bare = text[end + 2 :]
    inside = text[start + 2 : max(end, 0)]
    if end < start + 2 or b"*/" in inside or b"/*" in inside or inside[:1] in (b"!", b"M"):
        return text, ""
    traced = TRACE_PARENT.search(inside)
    return bare, traced[1].decode() if traced else ""


@cache
def find_reader(dialect: Dialect, *, keep_text: bool = False) -> StatementReader:
    """The reader that all connections of one dialect share."""
    return StatementReader(dialect, keep_text=keep_text)


def read_statement(text: bytes, dialect: Dialect, *, keep_text: bool = False, truncated: bool = False) -> Statement:
    """What `text` asks for, read anew."""
    found = read_tokens(text[:STATEMENT_BYTES], dialect, truncated=truncated or len(text) > STATEMENT_BYTES)
    parts = _split(found.tokens)
    outlines = [read_outline(part) for part in parts]
    if not outlines:
        return Statement(OTHER if not found.whole else "", trace_parent=found.trace_parent)
    attributes: dict[str, AttributeValue] = {}
    summary = _agree([outline.summarise() for outline in outlines])
    if summary:
        attributes["db.query.summary"] = summary
    if len(outlines) > 1 and found.whole:
        attributes["db.operation.batch.size"] = len(outlines)
    if keep_text:
        texts = [_render(part, outline) for part, outline in zip(parts, outlines, strict=True)]
        attributes["db.query.text"] = "; ".join(filter(None, texts))[:TEXT_LENGTH]
    whole = [True] * (len(outlines) - 1) + [found.whole]
    collections = {outline.name_collection(whole=all_there) for outline, all_there in zip(outlines, whole, strict=True)}
    return Statement(
        operation=_agree([outline.operation for outline in outlines]),
        collection=collections.pop() if len(collections) == 1 else "",
        trace_parent=found.trace_parent,
        database=_read_database(parts[0]) if outlines[0].operation == "USE" and len(parts) == 1 else "",
        attributes=attributes,
    )


def _agree(names: list[str]) -> str:
    """How OpenTelemetry names a batch: by what its members have in common."""
    if len(names) == 1:
        return names[0]
    return f"BATCH {names[0]}" if len(set(names)) == 1 and names[0] else "BATCH"


def _split(tokens: list[Token]) -> list[list[Token]]:
    """Statements between semicolons, empty ones left out."""
    words = {text.upper() for _, text, _ in tokens[:12]}
    if "CREATE" in words and words & BODIES:
        return [tokens]
    parts: list[list[Token]] = [[]]
    depth = 0
    for token in tokens:
        depth += (token[1] == "(") - (token[1] == ")")
        if token[1] == ";" and depth <= 0:
            parts.append([])
        else:
            parts[-1].append(token)
    return [part for part in parts if part]


def _read_database(tokens: list[Token]) -> str:
    kind, text, _ = tokens[1] if len(tokens) == 2 else (LITERAL, "", False)
    name = text.strip("`")
    return name if kind in (WORD, NAME) and name.isprintable() and len(name) <= NAME_LENGTH else ""


def _render(tokens: list[Token], outline: Outline) -> str:
    """The text of one statement: literals as ?, blanks and lists made alike, without what may be somebody's name."""
    if outline.operation in PERSONAL:
        return outline.operation if outline.operation != OTHER else ""
    pieces: list[str] = []
    previous = (LITERAL, "(", False)
    hiding = False  # the name before an @ was one of a user, and the next is one of a host
    for token in tokens:
        kind, text, spaced = token
        if outline.operation in DEFINITIONS and text.upper() in PERSONAL_WORDS:
            pieces.append(" " + text)
            break
        if text == "@" and not spaced and previous[0] in (WORD, NAME):
            pieces[-1], hiding = pieces[-1][: -len(previous[1])] + "?", True
        elif hiding and kind in (WORD, NAME):
            text, hiding = "?", False
        blank = previous[1] != "(" and text not in (",", ")") and (spaced or previous[1] == ",")
        pieces.append(" " + text if blank else text)
        previous = token
    rendered = "".join(pieces)
    for pattern, replacement in REPETITIONS:
        rendered = pattern.sub(replacement, rendered)
    return rendered
