"""SQL text into words, names and signs. What could be a value is gone here: a literal is a token without its content.

Lexical rules: PostgreSQL 16, 4.1 "Lexical Structure"; MySQL 8.4 and MariaDB 10.11, "Language Structure". From the first place on
at which servers of different settings would disagree where a literal ends, nothing is read.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, field

WORD, NAME, LITERAL, PARAMETER, SIGN = range(1, 6)
# (kind, text, whether a blank or comment is before it); text of a LITERAL is "?", a NAME has its quotes.
Token = tuple[int, str, bool]

BLANK = rb"[ \t\r\n\f\v]++"
# Groups are repeated without possessive quantifiers, which match too much in Python 3.11.2 (gh-106052). Going back is harmless:
# alternatives differ in their first byte, a run of one class is never split, and no quote is closed that another one follows.
# A high byte before a backslash or backtick may be half of one character (GBK, SJIS, Big5), which eats it: doubtful.
ESCAPED = rb"'(?:[^'\\\x80-\xff]++|''|[\x80-\xff]++(?!\\)|\\[^\x80-\xff]|\\(?=[\x80-\xff]))*'(?!')"
# Valid whether backslashes escape or not: no quote has an odd number of them before it.
UNESCAPED = rb"'(?:[^'\\]++|''|\\\\|\\(?!['\\]))*'(?!')"
DOUBLE = rb'"(?:[^"\\\x80-\xff]++|""|[\x80-\xff]++(?!\\)|\\\\|\\(?=[^"\\]))*"(?!")'
NUMBER = rb"\.?[0-9][\w.$\x80-\xff]*+(?:(?<=[eE])[+-][0-9]++)?"
SIGNS = rb"[(),;.\[\]{}<>=+\-*/%^&|~!@#?:]"
NOT_GLUED = rb"(?![\w'\"\x80-\xff])"  # a word right behind a literal: more likely a quote inside it that was not doubled

POSTGRESQL_TOKEN = (
    rb"(?P<blank>" + BLANK + rb"|--[^\r\n]*+)|(?P<comment>/\*)"
    rb"|(?P<literal>(?:[eE]" + ESCAPED + rb"|(?:[bBxXnN]|[uU]&)?" + UNESCAPED + rb")" + NOT_GLUED + rb"|" + NUMBER + rb")"
    rb'|(?P<name>(?:[uU]&)?"(?:[^"]++|"")+"(?!")' + NOT_GLUED + rb")"
    rb"|(?P<word>(?!(?:[eEbBxXnN]|[uU]&)['\"])[A-Za-z_\x80-\xff][\w$\x80-\xff]*+)"
    rb"|(?P<dollar>\$(?:[A-Za-z_\x80-\xff][\w\x80-\xff]*+)?\$)|(?P<parameter>\$[0-9]++)|(?P<sign>" + SIGNS + rb")"
)
MYSQL_TOKEN = (
    rb"(?P<blank>" + BLANK + rb"|--(?=[\x00-\x20]|\Z)[^\n]*+|\#[^\n]*+)|(?P<comment>/\*)"
    rb"|(?P<literal>(?:(?:[bBxXnN]|_[A-Za-z0-9]++)?STRING|" + DOUBLE + rb")" + NOT_GLUED + rb"|" + NUMBER + rb")"
    rb"|(?P<name>`(?:[^`\x80-\xff]++|``|[\x80-\xff]++(?!`))+`(?!`))"
    rb"|(?P<word>(?![bBxXnN]')[A-Za-z_$\x80-\xff][\w$\x80-\xff]*+)|(?P<parameter>\?)|(?P<sign>" + SIGNS + rb")"
)
PATTERNS = (POSTGRESQL_TOKEN, MYSQL_TOKEN.replace(b"STRING", ESCAPED), MYSQL_TOKEN.replace(b"STRING", UNESCAPED))
COMMENT_EDGE = re.compile(rb"/\*|\*/")
TRACE_PARENT = re.compile(rb"traceparent='(00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2})'")
KINDS = {"word": WORD, "name": NAME, "literal": LITERAL, "dollar": LITERAL, "parameter": PARAMETER, "sign": SIGN}
TRUTHS = frozenset(("TRUE", "FALSE"))


class Dialect(enum.Enum):
    """Whose rules a text follows. MYSQL_UNESCAPED: with the SQL mode NO_BACKSLASH_ESCAPES."""

    POSTGRESQL = 0
    MYSQL = 1
    MYSQL_UNESCAPED = 2

    def __init__(self, number: int) -> None:
        self.token = re.compile(PATTERNS[number], re.DOTALL)
        self.nests_comments = number == 0


@dataclass(slots=True)
class Tokens:
    """tokens: as far as they are certain; whole: to the text's end. trace_parent: from a comment (sqlcommenter), '' none."""

    tokens: list[Token] = field(default_factory=list)
    whole: bool = True
    trace_parent: str = ""


def read_tokens(text: bytes, dialect: Dialect, *, truncated: bool = False) -> Tokens:
    """The tokens of `text`. truncated: it goes on, so a token that touches its end may be half of one and is left out."""
    found = Tokens(whole=not truncated)
    position, size, spaced, code_ends = 0, len(text), False, -1
    match = dialect.token.match
    while position < size:
        if position == code_ends:
            position, spaced, code_ends = position + 2, True, -1
            continue
        token = match(text, position)
        kind = token.lastgroup if token else None
        if token is None or kind is None:
            found.whole = False
            break
        position, end = token.span()
        if kind == "blank":
            spaced = True
        elif kind == "comment":
            end, code_ends = _pass_comment(text, position, dialect, found, code_ends)
            spaced = True
        elif kind == "dollar":
            end = text.find(token[0], end) + len(token[0])
            if end < position + 2 * len(token[0]):
                end = -1
        if end < 0 or (truncated and end >= size):
            found.whole = False
            break
        if kind in KINDS:
            found.tokens.append((*_make_token(KINDS[kind], token[0]), spaced))
            spaced = False
        position = end
    return found


def _make_token(kind: int, content: bytes) -> tuple[int, str]:
    if kind == LITERAL:
        return LITERAL, "?"
    text = content.decode("utf-8", "replace")
    return (LITERAL, "?") if kind == WORD and text.upper() in TRUTHS else (kind, text)


def _pass_comment(text: bytes, start: int, dialect: Dialect, found: Tokens, code_ends: int) -> tuple[int, int]:
    """Where to read on after `/*` at `start`, -1 when the comment has no certain end; and where code in a comment ends."""
    if text.startswith((b"/*!", b"/*M!"), start) and not dialect.nests_comments:
        return _enter_code(text, start, code_ends)
    end = -1
    depth = 0
    for edge in COMMENT_EDGE.finditer(text, start):
        depth += 1 if edge[0] == b"/*" else -1
        if depth == 0 or (edge[0] == b"*/" and not dialect.nests_comments):
            end = edge.end()
            break
    if end > 0 and not found.trace_parent:
        traced = TRACE_PARENT.search(text, start, end)
        found.trace_parent = traced[1].decode() if traced else ""
    return end, code_ends


def _enter_code(text: bytes, start: int, code_ends: int) -> tuple[int, int]:
    """`/*!40101 code */` is code for servers of that version on. Where it ends must not depend on the version."""
    end = text.find(b"*/", start)
    opening = re.compile(rb"/\*M?!\d*").match(text, start)
    if end < 0 or opening is None or code_ends >= 0 or re.search(rb"['\"`\\#]|--|/\*", text[opening.end() : end]):
        return -1, -1
    return opening.end(), end
