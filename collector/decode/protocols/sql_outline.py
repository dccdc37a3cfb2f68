"""What a statement does to which tables, read from tokens without a grammar: keywords tell where a table's name must stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from collector.decode.protocols.sql_tokens import NAME, WORD, Token

OTHER = "_OTHER"
OPERATION_TEXT = """
ABORT ALTER ANALYZE BEGIN BINLOG CACHE CALL CHANGE CHECK CHECKPOINT CHECKSUM CLOSE CLUSTER COMMENT COMMIT COPY CREATE DEALLOCATE
DECLARE DELETE DESC DESCRIBE DISCARD DO DROP END EXECUTE EXPLAIN FETCH FLUSH GET GRANT HANDLER HELP IMPORT INSERT INSTALL KILL
LISTEN LOAD LOCK MERGE MOVE NOTIFY OPTIMIZE PREPARE PURGE REASSIGN REFRESH REINDEX RELEASE RENAME REPAIR REPLACE RESET RESIGNAL
REVOKE ROLLBACK SAVEPOINT SECURITY SELECT SET SHOW SHUTDOWN SIGNAL START STOP TABLE TRUNCATE UNINSTALL UNLISTEN UNLOCK UPDATE USE
VACUUM VALUES WITH XA
"""
OPERATIONS = frozenset(OPERATION_TEXT.split())
CHANGES = frozenset(("INSERT", "UPDATE", "DELETE", "MERGE", "REPLACE"))
DEFINITIONS = frozenset(("CREATE", "ALTER", "DROP"))
MAINTENANCE = frozenset(
    (
        "TRUNCATE",
        "COPY",
        "LOCK",
        "LOAD",
        "ANALYZE",
        "VACUUM",
        "CLUSTER",
        "REFRESH",
        "OPTIMIZE",
        "REPAIR",
        "DESCRIBE",
        "DESC",
        "TABLE",
    )
)
STATEMENTS = CHANGES | {"SELECT", "WITH", "VALUES", "EXPLAIN", "PREPARE", "DECLARE"}  # in which names can stand anywhere
CHANGERS = (CHANGES | DEFINITIONS | MAINTENANCE) - {"TABLE"}
READERS = frozenset(("SELECT", "DELETE", "UPDATE"))  # in whose lists a function may stand instead of a table
LISTS = frozenset(("UPDATE", "TRUNCATE", "LOCK", "ANALYZE", "VACUUM", "OPTIMIZE", "REPAIR"))
PREFIXES = frozenset(
    ("EXPLAIN", "VERBOSE", "EXTENDED", "PARTITIONS", "DECLARE", "PREPARE")
)  # before the statement proper; ANALYZE may be one, too
OBJECT_TEXT = """
AGGREGATE CAST COLLATION CONVERSION DATABASE DOMAIN EVENT EXTENSION FUNCTION GROUP INDEX LANGUAGE OPERATOR POLICY PROCEDURE
PUBLICATION ROLE ROUTINE RULE SCHEMA SEQUENCE SERVER STATISTICS SUBSCRIPTION SYSTEM TABLE TABLESPACE TRANSFORM TRIGGER TYPE USER
VIEW
"""
OBJECTS = frozenset(OBJECT_TEXT.split())
TABLES = frozenset(("TABLE", "VIEW"))
# Words that may stand between a keyword and the table's name.
FILLER_TEXT = """
INTO FROM ONLY TABLE TABLES IF NOT EXISTS LATERAL IGNORE QUICK LOW_PRIORITY DELAYED HIGH_PRIORITY MATERIALIZED VIEW CONCURRENTLY
FULL FREEZE VERBOSE ANALYZE LOCAL
"""
FILLERS = frozenset(FILLER_TEXT.split())
CLAUSE_TEXT = """
SET WHERE GROUP ORDER HAVING LIMIT OFFSET UNION INTERSECT EXCEPT WINDOW FETCH FOR RETURNING VALUES WHEN
"""
CLAUSES = frozenset(CLAUSE_TEXT.split())  # behind these no table is listed
NO_TABLES = CLAUSES | {"AS", "DEFAULT", "DUAL", "JSON_TABLE", "ROWS", "STDIN", "STDOUT", "TO", "UNNEST", "WITH"}
NAME_LENGTH = 128
PARENTHESES = 64
SUMMARY_LENGTH = 255  # OpenTelemetry, database spans, "Generating a summary of the query"


@dataclass(slots=True)
class Level:
    """One level of parentheses.

    operation: whose names are read here, '' none. expecting: the next name is a table's; listing: and again after a comma;
    targeting: and it is what the operation changes. common: in the list of WITH; naming: the next name is one of that list.
    changing: it may begin with a change, not only with a query.
    """

    operation: str = ""
    beginning: bool = True
    changing: bool = False
    expecting: bool = False
    listing: bool = False
    targeting: bool = False
    common: bool = False
    naming: bool = False


@dataclass(slots=True)
class Outline:
    """operation: from OPERATIONS, _OTHER, or '' without a word. targets: what it changes, `tables`: what it names anywhere.

    parts: operations and tables in their order, for a summary. certain: no name was missed.
    """

    operation: str = ""
    parts: list[str] = field(default_factory=list)
    tables: list[str] = field(default_factory=list)
    targets: list[str] = field(default_factory=list)
    certain: bool = True

    def name_collection(self, *, whole: bool) -> str:
        """The one table that the statement is about, '' when it may be about several. whole: all of its text was read."""
        read = self.tables if whole else []
        names = self.targets if self.operation in CHANGERS else read
        return names[0] if self.certain and len(set(names)) == 1 else ""

    def summarise(self) -> str:
        text = ""
        for part in self.parts:
            if len(text) + len(part) >= SUMMARY_LENGTH:
                break
            text = f"{text} {part}" if text else part
        return text


def read_outline(tokens: Sequence[Token]) -> Outline:
    """The outline of one statement; of what can be read when tokens are missing at its end."""
    return _OutlineReader(tokens).read()


class _OutlineReader:
    def __init__(self, tokens: Sequence[Token]) -> None:
        self.tokens = tokens
        self.outline = Outline()
        self.levels = [Level(changing=True)]
        self.common_names: set[str] = set()
        self.previous = ""

    def read(self) -> Outline:
        position = next((index for index, token in enumerate(self.tokens) if token[1] != "("), len(self.tokens))
        if position == len(self.tokens):
            return self.outline
        kind, text, _ = self.tokens[position]
        operation = text.upper() if kind == WORD and text.upper() in OPERATIONS else OTHER
        self.outline.operation = operation
        if operation in DEFINITIONS:
            self._read_on(self._begin_definition(operation, position + 1))
        elif operation in MAINTENANCE:
            self._operate(operation)
            self._read_on(position + 1)
        elif operation == "CALL":
            self._name_procedure(position + 1)
        elif operation in STATEMENTS:
            self._read_on(position)
        if operation != OTHER and not self.outline.parts:
            self.outline.parts.append(operation)
        return self.outline

    def _read_on(self, position: int) -> None:
        tokens = self.tokens
        while position < len(tokens) and len(self.levels) < PARENTHESES:
            kind, text, _ = tokens[position]
            if kind == WORD:
                word = text.upper()
                position = self._pass_word(word, position)
                self.previous = word
            elif kind == NAME:
                position = self._pass_name(position)
            else:
                self._pass_sign(text)
                position += 1
        self.outline.certain = self.outline.certain and position >= len(tokens)

    def _pass_word(self, word: str, position: int) -> int:
        level = self.levels[-1]
        first = level.beginning
        if first:
            level.beginning = word in PREFIXES or (word == "ANALYZE" and self.previous in PREFIXES)
            if level.beginning or word == "WITH":
                level.common = level.naming = word == "WITH"
                if word in ("EXPLAIN", "DECLARE", "PREPARE"):
                    self.outline.parts.append(word)
                return position + 1
        if level.naming and word != "SELECT":
            return position + 1 if word == "RECURSIVE" else self._pass_name(position)
        if word == "SELECT" or (word in CHANGES and (level.common or (first and level.changing))):
            self._operate(word)
        elif level.expecting and word in NO_TABLES:
            level.expecting = level.listing = False
        elif level.expecting:
            return position + 1 if word in FILLERS else self._pass_name(position)
        else:
            self._pass_keyword(word, level)
        return position + 1

    def _pass_keyword(self, word: str, level: Level) -> None:
        if word == "FROM":
            if level.operation in ("SELECT", "DELETE", "UPDATE") and self.previous != "DISTINCT":
                level.expecting = level.listing = True
        elif word in ("JOIN", "STRAIGHT_JOIN"):
            level.expecting = level.operation != ""
        elif word == "USING" and level.operation in ("DELETE", "MERGE"):
            level.expecting = level.listing = True
            level.targeting = False
        elif word == "INTO":
            level.expecting = level.operation == "LOAD"
        elif word in CLAUSES:
            level.listing = level.targeting = False

    def _operate(self, word: str) -> None:
        level, outline = self.levels[-1], self.outline
        if outline.operation == "WITH" and len(self.levels) == 1:
            outline.operation = word
        outline.parts.append(word)
        level.operation = word
        level.beginning = level.common = level.naming = False
        level.expecting = word not in ("SELECT", "DELETE", "LOAD")
        level.listing = word in LISTS
        level.targeting = word != "SELECT" and len(self.levels) == 1

    def _begin_definition(self, operation: str, position: int) -> int:
        """Where to read on after CREATE, ALTER or DROP and what it is that they are about."""
        outline, tokens = self.outline, self.tokens
        near = [(index, tokens[index][1].upper()) for index in range(position, min(position + 8, len(tokens)))]
        index, kind = next(((index, word) for index, word in near if word in OBJECTS), (len(tokens), ""))
        outline.parts.append(f"{operation} {kind}".rstrip())
        on = next((at for at in range(index, min(index + 12, len(tokens))) if tokens[at][1].upper() == "ON"), len(tokens))
        if kind not in TABLES:
            index = on if kind == "INDEX" else len(tokens)
        level = self.levels[-1]
        level.operation, level.beginning = operation, False
        level.expecting = level.targeting = True
        level.listing = operation == "DROP"
        return index + 1

    def _name_procedure(self, position: int) -> None:
        self.outline.parts.append("CALL")
        if position < len(self.tokens):
            name, _ = self._read_name(position)
            self.outline.parts.extend([name] if name else [])

    def _pass_name(self, position: int) -> int:
        level = self.levels[-1]
        level.beginning = False
        if not (level.naming or level.expecting):
            return position + 1
        name, end = self._read_name(position)
        if level.naming:
            self.common_names.add(name.lower())
            level.naming = False
            return end
        level.expecting = False
        is_function = level.operation in READERS and end < len(self.tokens) and self.tokens[end][1] == "("
        if not name:
            self.outline.certain = False
        elif not is_function and name.lower() not in self.common_names:
            self.outline.parts.append(name)
            self.outline.tables.append(name)
            if level.targeting:
                self.outline.targets.append(name)
                level.targeting = level.listing
        return end

    def _read_name(self, position: int) -> tuple[str, int]:
        """The dotted name at `position`, '' when it cannot be one, and the position behind it."""
        tokens = self.tokens
        parts = [_unquote(tokens[position])]
        position += 1
        while position + 1 < len(tokens) and tokens[position][1] == "." and tokens[position + 1][0] in (WORD, NAME):
            parts.append(_unquote(tokens[position + 1]))
            position += 2
        name = ".".join(parts)
        return name if all(parts) and len(name) <= NAME_LENGTH else "", position

    def _pass_sign(self, sign: str) -> None:
        level = self.levels[-1]
        if sign == "(":
            expecting = level.expecting and self.previous != "USING"  # USING (column)
            inner = Level(changing=level.common, expecting=expecting, listing=expecting)
            inner.operation = level.operation if expecting else ""
            level.expecting = False
            self.levels.append(inner)
        elif sign == ")":
            if len(self.levels) > 1:
                self.levels.pop()
        elif sign == ",":
            level.naming = level.common and not level.operation
            level.expecting = level.listing
        elif level.expecting:
            level.expecting = False
            self.outline.certain = False


def _unquote(token: Token) -> str:
    """A name without its quotes; '' when it holds what names rarely do, so that it may be no name."""
    kind, text, _ = token
    if kind == NAME:
        quote = text[-1]
        text = text[text.index(quote) + 1 : -1].replace(quote * 2, quote)
    return text if kind in (WORD, NAME) and text.isprintable() and "\ufffd" not in text else ""
