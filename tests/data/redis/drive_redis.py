"""What redis-py asks over RESP2 and RESP3, and by hand what it never would: errors, pipelines, subscriptions, silence."""

from __future__ import annotations

import contextlib
import os
import socket
import time

import redis

PORT = int(os.environ["REDIS_PORT"])


def connect(protocol: int) -> redis.Redis:
    return redis.Redis(port=PORT, protocol=protocol)


def ask_everything() -> None:
    client = connect(2)
    client.set("secret-key", "secret-value")
    client.get("secret-key")
    client.get("no-key")
    for words in (("LPUSH", "secret-key", "x"), ("NOSUCHSECRET", "a"), ("GET",), ("EVALSHA", "f" * 40, "0")):
        with contextlib.suppress(redis.RedisError):
            client.execute_command(*words)
    pipeline = client.pipeline(transaction=False)
    for number in range(5):
        pipeline.incr("counter")
        pipeline.set(f"k{number}", "secret" * number)
    pipeline.execute()
    transaction = client.pipeline(transaction=True)
    transaction.set("a", "secret")
    transaction.get("a")
    transaction.execute()
    client.mset({"x": "secret", "y": "secret"})
    client.mget("x", "y", "none")
    client.hset("h", mapping={"f": "secret", "g": "1"})
    client.hgetall("h")
    client.zadd("z", {"m": 1.5})
    client.config_get("maxmemory")
    client.client_list()
    client.object("encoding", "x")
    client.eval("return {1,2,{'secret',{ok='fine'}}}", 0)
    with contextlib.suppress(redis.RedisError):
        client.eval("return redis.error_reply('MYSECRET word')", 0)
    client.execute_command("SELECT", 3)
    client.get("secret-key")
    client.blpop("no-list", timeout=0.05)
    client.set("big", "s" * 40_000)
    client.get("big")
    client.close()


def ask_with_resp3() -> None:
    client = connect(3)
    client.hgetall("h")
    client.zrange("z", 0, -1, withscores=True)
    client.execute_command("CLIENT", "TRACKING", "ON")
    client.get("x")
    other = connect(2)
    other.set("x", "changed")
    other.close()
    client.get("y")
    client.sadd("s", "a", "b")
    client.smembers("s")
    client.close()


def subscribe(protocol: int) -> None:
    client = connect(protocol)
    subscriber = client.pubsub()
    subscriber.subscribe("c1", "c2")
    subscriber.psubscribe("p*")
    time.sleep(0.1)
    publisher = connect(2)
    publisher.publish("c1", "secret-message")
    publisher.publish("pp", "secret-message2")
    publisher.close()
    for _ in range(8):
        subscriber.get_message(timeout=0.05)
    subscriber.ping()
    subscriber.unsubscribe("c1")
    subscriber.unsubscribe()
    subscriber.punsubscribe()
    for _ in range(8):
        subscriber.get_message(timeout=0.05)
    subscriber.close()
    client.close()


def command(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


def talk(*parts: bytes) -> None:
    connection = socket.create_connection(("127.0.0.1", PORT))
    connection.settimeout(0.05)
    for part in parts:
        connection.sendall(part)
        time.sleep(0.05)
        with contextlib.suppress(TimeoutError):
            connection.recv(65536)
    connection.close()


ask_everything()
ask_with_resp3()
subscribe(2)
subscribe(3)
talk(b"PING\r\n", b"\r\n", b"SET foo secretinline\r\nGET foo\r\n", b"*0\r\n" + command(b"PING"), b"BOGUS secret\r\n")
talk(
    command(b"CLIENT", b"REPLY", b"OFF"),
    command(b"SET", b"q", b"secret"),
    command(b"CLIENT", b"REPLY", b"ON"),
    command(b"client", b"reply", b"skip") + command(b"GET", b"q") + command(b"GET", b"q"),
    b"QUIT\r\n",
)
kinds = (b"attrib", b"double", b"bignum", b"verbatim", b"null", b"true", b"push", b"set", b"map", b"array")
talk(command(b"HELLO", b"3"), *(command(b"DEBUG", b"PROTOCOL", kind) for kind in kinds))
talk(b"MONITOR\r\n", b"PING\r\n")
talk(b"PSYNC ? -1\r\n", b"")
