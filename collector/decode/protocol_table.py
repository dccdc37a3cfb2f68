"""The protocols that can be read, one line each. A connection is given to the first that is sure of its bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from collector.decode.protocols import http1, http2, mysql_heads, postgresql_heads, redis_heads
from collector.decode.protocols.http1 import Http1Conversation
from collector.decode.protocols.http2 import Http2Conversation
from collector.decode.protocols.mysql import MysqlConversation
from collector.decode.protocols.postgresql import PostgresqlConversation
from collector.decode.protocols.redis import RedisConversation
from collector.decode.request import Conversation, Evidence, Side


class KnownProtocol(NamedTuple):
    """recognise: by evidence in the first bytes of a side. start: a parser for one connection; start_with_texts: one that
    keeps the texts of queries, their literals taken out (db.query.text), None where there are none.
    """

    name: str
    recognise: Callable[[Side, bytes], Evidence]
    start: Callable[[], Conversation]
    start_with_texts: Callable[[], Conversation] | None = None


PROTOCOLS: Sequence[KnownProtocol] = (
    KnownProtocol("http", http1.recognise, Http1Conversation),
    KnownProtocol("http2", http2.recognise, Http2Conversation),
    KnownProtocol(
        "postgresql", postgresql_heads.recognise, PostgresqlConversation, partial(PostgresqlConversation, keep_text=True)
    ),
    KnownProtocol("mysql", mysql_heads.recognise, MysqlConversation, partial(MysqlConversation, keep_text=True)),
    KnownProtocol("redis", redis_heads.recognise, RedisConversation),
)


def recognise(asked: bytes, answered: bytes) -> KnownProtocol | None:
    """The protocol of an exchange, by what both sides said; None when nobody is sure."""
    for protocol in PROTOCOLS:
        if asked and protocol.recognise(Side.CLIENT, asked) is Evidence.YES:
            return protocol
    for protocol in PROTOCOLS:
        if answered and protocol.recognise(Side.SERVER, answered) is Evidence.YES:
            return protocol
    return None
