"""Statements: what they do, to which table; and that no literal survives, however nasty the text is."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.decode.protocols.sql import (
    REPETITIONS,
    SKELETONS,
    STATEMENT_BYTES,
    Dialect,
    Statement,
    StatementReader,
    read_statement,
)
from collector.decode.protocols.sql_outline import OPERATIONS, OTHER
from collector.decode.protocols.sql_tokens import read_tokens

EXAMPLES = int(os.environ.get("HONEYGUIDE_EXAMPLES", "400"))
PG, MY, BARE = Dialect.POSTGRESQL, Dialect.MYSQL, Dialect.MYSQL_UNESCAPED
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def read(text: str | bytes, dialect: Dialect = PG) -> Statement:
    """Read anew, and by a reader that remembers, which must agree."""
    content = text.encode() if isinstance(text, str) else text
    statement = read_statement(content, dialect, keep_text=True)
    reader = StatementReader(dialect, keep_text=True)
    assert reader.read(content) == reader.read(content) == statement
    return statement


def sanitise(text: str | bytes, dialect: Dialect = PG) -> str:
    return str(read(text, dialect).attributes.get("db.query.text", ""))


@pytest.mark.parametrize(
    ("text", "operation", "collection", "summary"),
    [
        ("select * from users where name = 'bob'", "SELECT", "users", "SELECT users"),
        ("  (SELECT 1 FROM a) UNION (SELECT 2 FROM a)", "SELECT", "a", "SELECT a SELECT a"),
        ("select * from a, b", "SELECT", "", "SELECT a b"),
        ("select * from a x, b as y left join c using (i) where z", "SELECT", "", "SELECT a b c"),
        ("select * from (a join b using (i)) join c on true", "SELECT", "", "SELECT a b c"),
        ("select * from (select * from orders o join customers c on 1=1) x", "SELECT", "", "SELECT SELECT orders customers"),
        ('select * from public."Order Items"', "SELECT", "public.Order Items", "SELECT public.Order Items"),
        ("select extract(year from ts), a is distinct from b, trim(from c) from t", "SELECT", "t", "SELECT t"),
        ("select * from generate_series(1, 2) g, t", "SELECT", "t", "SELECT t"),
        ("select * from only t for update of t", "SELECT", "t", "SELECT t"),
        ("select * from t where id in (select id from u)", "SELECT", "", "SELECT t SELECT u"),
        ("select 1", "SELECT", "", "SELECT"),
        ("select * from (values (1), (2)) v", "SELECT", "", "SELECT"),
        ("insert into t (a, b) values (1, 2) on conflict do update set a = 3", "INSERT", "t", "INSERT t"),
        ("insert into t select * from u", "INSERT", "t", "INSERT t SELECT u"),
        ("update only t set a = 1 from u where t.i = u.i", "UPDATE", "t", "UPDATE t u"),
        ("delete from t using u where t.i = u.i", "DELETE", "t", "DELETE t u"),
        ("delete from t where id in (select id from u)", "DELETE", "t", "DELETE t SELECT u"),
        ("merge into t using s on true when matched then update set a = 1", "MERGE", "t", "MERGE t s"),
        ("with x as (select * from a) select * from x", "SELECT", "a", "SELECT a SELECT"),
        ("with recursive n(a) as (values (1) union all select a+1 from n) select * from n, t", "SELECT", "t", "SELECT SELECT t"),
        ("with x as (insert into b select 1 returning *) update c set z = 1 from x", "UPDATE", "c", "INSERT b SELECT UPDATE c"),
        ("explain (analyze, verbose) select * from t", "EXPLAIN", "t", "EXPLAIN SELECT t"),
        ("explain analyze delete from t", "EXPLAIN", "t", "EXPLAIN DELETE t"),
        ("create table if not exists foo (id int default 5)", "CREATE", "foo", "CREATE TABLE foo"),
        ("create unique index i on only foo (id)", "CREATE", "foo", "CREATE INDEX foo"),
        ("create or replace view v as select * from t", "CREATE", "v", "CREATE VIEW v SELECT t"),
        ("create function f() returns int language sql begin atomic select 1; select 2; end", "CREATE", "", "CREATE FUNCTION"),
        ("drop table if exists a, b", "DROP", "", "DROP TABLE a b"),
        ("alter user bob password 'x'", "ALTER", "", "ALTER USER"),
        ("truncate table t", "TRUNCATE", "t", "TRUNCATE t"),
        ("copy t (a) from stdin", "COPY", "t", "COPY t"),
        ("lock table t in access share mode", "LOCK", "t", "LOCK t"),
        ("vacuum analyze t", "VACUUM", "t", "VACUUM t"),
        ("call app.p(1)", "CALL", "", "CALL app.p"),
        ("declare c cursor for select * from t", "DECLARE", "t", "DECLARE SELECT t"),
        ("fetch 10 from c", "FETCH", "", "FETCH"),
        ("begin", "BEGIN", "", "BEGIN"),
        ("table t", "TABLE", "t", "TABLE t"),
        ("frobnicate everything", OTHER, "", ""),
        (" ; ", "", "", ""),
        ("", "", "", ""),
    ],
)
def test_operation_and_table_of_a_statement(text: str, operation: str, collection: str, summary: str) -> None:
    statement = read(text)
    assert (statement.operation, statement.collection) == (operation, collection)
    assert statement.attributes.get("db.query.summary", "") == summary


@pytest.mark.parametrize(
    ("text", "operation", "collection"),
    [
        ("SELECT `a`.`b` FROM `db`.`t 1` # comment", "SELECT", "db.t 1"),
        ("select coalesce(replace(a, 'b', 'c'), insert('x', 1, 1, 'y')) from t", "SELECT", "t"),
        ("replace into t values (1)", "REPLACE", "t"),
        ("insert ignore t set a = 1", "INSERT", "t"),
        ("insert into t values (1) on duplicate key update a = 2", "INSERT", "t"),
        ("update t1 join t2 on a = b set c = 1", "UPDATE", ""),
        ("update low_priority t set c = 1", "UPDATE", "t"),
        ("delete a from a join b using (id)", "DELETE", ""),
        ("load data local infile '/etc/passwd' into table t", "LOAD", "t"),
        ("/*!40101 SET NAMES utf8 */", "SET", ""),
        ("/*! straight */ select 1", OTHER, ""),
        ("select * from dual", "SELECT", ""),
        ("desc t", "DESC", "t"),
        ("create definer=`root`@`localhost` procedure p() begin select 1; select 2; end", "CREATE", ""),
    ],
)
def test_operation_and_table_in_mysql(text: str, operation: str, collection: str) -> None:
    statement = read(text, MY)
    assert (statement.operation, statement.collection) == (operation, collection)


def test_batch_is_named_by_what_its_statements_have_in_common() -> None:
    same = read("insert into t values (1); insert into t values (2);")
    assert (same.operation, same.collection) == ("BATCH INSERT", "t")
    assert same.attributes["db.query.summary"] == "BATCH INSERT t"
    assert same.attributes["db.operation.batch.size"] == 2
    assert same.attributes["db.query.text"] == "insert into t values (?); insert into t values (?)"
    mixed = read("begin; insert into t values (1); commit")
    assert (mixed.operation, mixed.collection) == ("BATCH", "")
    assert mixed.attributes["db.query.summary"] == "BATCH"


def test_database_of_use_is_known() -> None:
    assert read("USE `shop`", MY).database == "shop"
    assert read("use shop", MY).database == "shop"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "select 'a''b', E'c\\'d', X'ff', B'01', N'x', U&'x', 1, 2.5, .5, 1e-10, 0x1F, 1_000 from t9",
            "select" + " ?," * 11 + " ? from t9",
        ),
        ("select $tag$ secret $$ $tag$, $$x$$, $1 from t", "select ?, ?, $1 from t"),
        ("select a::text, b->>'key', c[1], -5 from t", "select a::text, b->>?, c[?], -? from t"),
        ('select "quoted ""name"" 5" from t', 'select "quoted ""name"" 5" from t'),
        ("select 1 -- secret\n, 2 /* secret /* nested */ secret */ from t", "select ?, ? from t"),
        ("select * from t where id in (1, 2,3) or x IN ('a','b')", "select * from t where id IN (?) or x IN (?)"),
        ("select * from t where id in ($1, $2)", "select * from t where id IN (?)"),
        ("insert into t values (1, 'x'), (2, 'y'), (3, null)", "insert into t values (?, ?)"),
        ("select array[1, 2, 3]", "select array[?]"),
        ("select true, false, null", "select ?, ?, null"),
        ("set role bob", "SET"),
        ("grant select on t to bob", "GRANT"),
        ("alter table t owner to bob", "alter table t owner"),
        ("create user bob password 'x'", "create user"),
    ],
)
def test_sanitised_text(text: str, expected: str) -> None:
    assert sanitise(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("select \"a\\\\b\", 'c\\'d', x'ff', 0b01, _utf8mb4'x', @@version", "select ?, ?, ?, ?, ?, @@version"),
        ("select 1--2 -- secret", "select ?--?"),
        ("select 1 # secret\n, 2", "select ?, ?"),
        ("select `it's` from `5`", "select `it's` from `5`"),
        ("create definer=bob@localhost view v as select 1", "create definer"),
        ("drop procedure bob@localhost", "drop procedure ?@?"),
        ("select * from t where a = ? and b = 5", "select * from t where a = ? and b = ?"),
    ],
)
def test_sanitised_text_in_mysql(text: str, expected: str) -> None:
    assert sanitise(text, MY) == expected


@pytest.mark.parametrize(
    ("dialect", "text"),
    [
        (PG, "select 'O'Brien secret"),
        (PG, "select 'x\\' secret', 'secret'"),
        (PG, "select E'x\\' secret"),
        (PG, "select $a$ secret $b$ secret"),
        (PG, "select /* secret /* */ secret"),
        (PG, 'select "secret'),
        (PG, "select 'a'secret"),
        (PG, "select \x00 secret"),
        (PG, "select \\ secret"),
        (PG, b"select E'\xbf\\' secret"),
        (MY, "select 'x secret"),
        (MY, 'select "x\\" secret, "secret'),
        (MY, "select /*!50000 'a */ secret"),
        (MY, "select /*! it's */ secret"),
        (MY, "select /*!99999 /* */ secret"),
        (MY, b"select '\xbf\\' secret"),
        (MY, b"select `\xbf` secret"),
        (BARE, "select 'x\\' secret', 'secret'"),
        (BARE, "select 'C:\\', secret"),
    ],
)
def test_what_servers_may_read_differently_is_dropped(dialect: Dialect, text: str | bytes) -> None:
    statement = read(text, dialect)
    assert "secret" not in repr(statement)
    assert statement.operation in ("SELECT", OTHER)


def test_truncated_text_loses_the_token_at_its_end() -> None:
    whole = b"select a from users where name = 'secret' and b = secretive"
    for end in range(len(whole)):
        statement = read_statement(whole[:end], PG, keep_text=True, truncated=True)
        assert "secret" not in str(statement.attributes.get("db.query.text", ""))
        assert statement.collection == ""
    assert read_statement(b"insert into t values ('secr", PG, truncated=True).collection == "t"


def test_trace_parent_comes_from_a_comment_and_the_comment_goes() -> None:
    for text in (
        f"select 1 /*action='secret',traceparent='{TRACE}',route='secret'*/",
        f"/*traceparent='{TRACE}'*/ select 1",
        f"select 1 /* secret */, 2 /*traceparent='{TRACE}'*/;",
    ):
        for dialect in (PG, MY):
            statement = read(text, dialect)
            assert statement.trace_parent == TRACE
            assert "secret" not in repr(statement)
    assert read(f"select '/*traceparent=''{TRACE}''*/'").trace_parent == ""
    assert read("select 1 /*traceparent='00-" + "0" * 32 + "-b7ad6b7169203331-01'*/").trace_parent == ""


def test_text_is_kept_only_when_asked_for() -> None:
    statement = StatementReader(PG).read(b"select 'secret' from t")
    assert dict(statement.attributes) == {"db.query.summary": "SELECT t"}


def test_reader_remembers_no_literal_and_not_too_much() -> None:
    reader = StatementReader(PG)
    for number in range(3000):
        reader.read(b"select %b from t where secret = 'secret%d' and n = 77%d" % (b"c" * (number % 1500 + 1), number, number))
        reader.read(b"select 'secret%d" % number)
        reader.read(b"select $$secret%d$$" % number)
    assert len(reader._known) <= 1024
    assert all(b"77" not in skeleton and b"'" not in skeleton and b"$" not in skeleton for skeleton in reader._known)


def test_literals_do_not_change_what_is_remembered() -> None:
    reader = StatementReader(PG)
    first = reader.read(b"UPDATE t SET a = a + -12 WHERE b = 'x''y' AND c = 0.5")
    assert reader.read(b"UPDATE t SET a = a + -9999 WHERE b = '' AND c = 17") is first
    assert reader.read(b"UPDATE u SET a = a + -12 WHERE b = 'x''y' AND c = 0.5") is not first


SECRET = "zqsecretqz"
TABLES = ("t", "app.t", '"T x"')
PLACES = (
    "select * from {table} where a = {0} and b <> {1}",
    "select {0}, f({1}, 3) from {table} /* {comment} */ order by 1",
    "insert into {table} (a, b) values ({0}, {1}), ({1}, {0})",
    "update {table} set a = {0}, b = {1} -- {comment}\n where c in ({0}, {1}, {0})",
    "with x as (select {0} from {table}) select * from x where y = {1}",
    "delete from {table} where a between {0} and {1}; select {0}",
    "{0} {1}",
    "select {0}{1}",
)
INSIDE = st.text(alphabet="abX159 '\"\\`$%#-/*;?(),\n\u00e9\u4e2d\0", max_size=12)


def quote(kind: str, before: str, after: str) -> str:
    """A literal of `kind` whose content has the secret between two nasty texts."""
    content = f"{before}{SECRET}{after}"
    doubled = content.replace("'", "''")
    escaped = content.replace("\\", "\\\\").replace("'", "\\'")
    if kind == "dollar":
        return f"$q$ {content.replace('$', '')} $q$"
    if kind == "double":
        return '"' + content.replace("\\", "\\\\").replace('"', '""') + '"'
    return {"plain": f"'{doubled}'", "escape": f"E'{escaped}'", "backslash": f"'{escaped}'", "national": f"N'{doubled}'"}[kind]


def literals(*kinds: str) -> st.SearchStrategy[str]:
    return st.builds(quote, st.sampled_from(kinds), INSIDE, INSIDE)


def assert_secret_is_gone(text: str, dialect: Dialect, end: int) -> None:
    for content, truncated in ((text.encode(), False), (text.encode()[:end], True)):
        statement = read_statement(content, dialect, keep_text=True, truncated=truncated)
        assert SECRET not in repr(statement)
        words = statement.operation.split()
        assert all(word in OPERATIONS | {OTHER, "BATCH"} for word in words)
        assert StatementReader(dialect, keep_text=True).read(content, truncated=truncated) == statement


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    st.sampled_from(PLACES), st.sampled_from(TABLES), literals("plain", "escape", "national", "dollar"),
    literals("plain", "escape", "dollar"), st.integers(0, 300),
)  # fmt: skip
def test_no_secret_survives_in_postgresql(place: str, table: str, first: str, second: str, end: int) -> None:
    # A plain string in which a backslash is before a quote ends elsewhere with standard_conforming_strings off.
    assert_secret_is_gone(place.format(first, second, table=table, comment=SECRET), PG, end)


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.sampled_from(PLACES), literals("backslash", "double"), literals("backslash", "double"), st.integers(0, 300))
def test_no_secret_survives_in_mysql(place: str, first: str, second: str, end: int) -> None:
    assert_secret_is_gone(place.format(first, second, table="`t`", comment=SECRET), MY, end)


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.sampled_from(PLACES), literals("plain"), literals("plain"), st.integers(0, 300))
def test_no_secret_survives_without_backslash_escapes(place: str, first: str, second: str, end: int) -> None:
    assert_secret_is_gone(place.format(first, second, table="`t`", comment=SECRET), BARE, end)


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)), st.sampled_from(list(Dialect)), st.booleans())
def test_any_bytes_are_read_without_an_exception(text: bytes, dialect: Dialect, truncated: bool) -> None:
    statement = StatementReader(dialect, keep_text=True).read(text, truncated=truncated)
    assert statement == read_statement(text, dialect, keep_text=True, truncated=truncated)


NASTY = [
    *(b"'", b"''", b"'\\", b"\\'", b'"', b"$$", b"$a$", b"/*", b"*/", b"/*/", b"--", b"-", b"#", b"(", b")", b"((", b"E'"),
    *(b"1", b"1.", b"e+", b"a.", b"a", b"`", b"/*!", b"/*!1*/", b"\xff", b"\xff\\", b"in (?,", b"(?), ", b"[1,", b",", b";"),
    *(b"with a as (", b"select ", b"x from a,", b" ", b"\n", b"\0", b"@", b"a@", b".", b"0x", b"_a'", b"?"),
    *(b"from ", b"/**/"),
    b"'a''",
]  # fmt: skip


@pytest.mark.parametrize("dialect", list(Dialect))
def test_nasty_texts_are_read_in_time(dialect: Dialect) -> None:
    # An expression that goes back and forth would not come to an end with some of these; the slowest takes milliseconds.
    reader = StatementReader(dialect, keep_text=True)
    for piece in NASTY:
        many = piece * (STATEMENT_BYTES // len(piece) - 8)
        for text in (many, b"select '" + many, b"select " + many + b"'"):
            reader.read(text)
            reader.read(text, truncated=True)
            assert reader.read(text).operation in OPERATIONS | {OTHER, "", "BATCH", "BATCH SELECT", "BATCH _OTHER"}


def test_no_group_is_repeated_possessively() -> None:
    # Python 3.11.2 matches too much with them (gh-106052), and a literal would end in the wrong place.
    patterns = [dialect.token.pattern for dialect in Dialect] + [pattern.pattern for pattern in SKELETONS]
    assert not [pattern for pattern in patterns if b")*+" in pattern or b")++" in pattern]
    assert not [pattern for pattern, _ in REPETITIONS if ")*+" in pattern.pattern or ")++" in pattern.pattern]


def test_input_is_bounded() -> None:
    statement = read_statement(b"select '" + b"x" * 10_000_000 + b"' from t", PG, keep_text=True)
    assert (statement.operation, statement.collection) == ("SELECT", "")
    text = read_statement(b"select " + b"column_name, " * 5000 + b"1 from t", PG, keep_text=True).attributes["db.query.text"]
    assert len(str(text)) <= 2048
    long_summary = read_statement(b"select * from " + b", ".join(b"table_%d" % n for n in range(200)), PG)
    assert len(str(long_summary.attributes["db.query.summary"])) <= 255


def test_tokens_of_a_whole_text_are_whole() -> None:
    assert read_tokens(b"select 1", PG).whole
    assert not read_tokens(b"select 'x", PG).whole
