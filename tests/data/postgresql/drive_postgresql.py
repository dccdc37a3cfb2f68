"""What two drivers ask: psycopg with pipelines, prepared statements and COPY; asyncpg with portals. Errors are part of it."""

from __future__ import annotations

import asyncio
import contextlib
import os

import asyncpg
import psycopg

PORT = int(os.environ["PGPORT"])


def ask_with_psycopg() -> None:
    connection = psycopg.connect("", autocommit=True)
    cursor = connection.cursor()
    cursor.execute("select name from orders where id=%s", (1,))
    for number in range(4):
        cursor.execute("select name from orders where id=%s", (number,), prepare=True)
    with connection.pipeline():
        connection.cursor().execute("insert into orders values(%s,%s)", (500, "secret"))
        connection.cursor().execute("select count(*) from orders")
        connection.cursor().execute("delete from orders where id=%s", (500,))
    with contextlib.suppress(psycopg.Error), connection.pipeline() as pipeline:
        connection.cursor().execute("select 1")
        connection.cursor().execute("insert into orders values(1,%s)", ("secretdup",))
        connection.cursor().execute("select 3")
        pipeline.sync()
    with contextlib.suppress(psycopg.Error):
        cursor.execute("select %s from nothing_here", (1,))
    cursor.execute("create table if not exists child (o int references orders(id) deferrable initially deferred)")
    with contextlib.suppress(psycopg.Error):
        cursor.execute("insert into child values (%s)", (987654,))
    with cursor.copy("copy orders (id,name) from stdin") as copy:
        copy.write_row((700, "secret"))
        copy.write_row((701, "secret2"))
    connection.close()


async def ask_with_asyncpg() -> None:
    connection = await asyncpg.connect(ssl=False)
    await connection.fetch("select id, name from orders where id > $1", 0)
    statement = await connection.prepare("select name from orders where id=$1")
    for number in range(3):
        await statement.fetchval(number)
    async with connection.transaction():
        async for _ in connection.cursor("select generate_series(1,20)", prefetch=5):
            pass
    with contextlib.suppress(asyncpg.PostgresError):
        await connection.execute("update orders set id=1 where id=$1", 10)
    rows = [(800, "secreta"), (801, "secretb"), (802, "secretc")]
    await connection.executemany("insert into orders values($1,$2) on conflict do nothing", rows)
    await connection.execute("select 1")
    await connection.close()


def ask_for_encryption() -> None:
    """The server has neither TLS nor GSSAPI, and says so."""
    connection = psycopg.connect("sslmode=prefer gssencmode=prefer")
    connection.execute("select 1")
    connection.rollback()
    connection.close()


ask_with_psycopg()
asyncio.run(ask_with_asyncpg())
ask_for_encryption()
