"""How a MySQL connection begins: who the server is, and what both sides agree on. User names and passwords are passed over."""

from __future__ import annotations

from dataclasses import dataclass

from collector.decode.protocols.mysql_packets import read_name, read_number

GREETING_VERSION = 10
# Capabilities.
CONNECT_WITH_DB, COMPRESS, SECURE_CONNECTION, TLS = 1 << 3, 1 << 5, 1 << 15, 1 << 11
PLUGIN_LENENC, DEPRECATE_EOF, OPTIONAL_METADATA, ZSTD = 1 << 21, 1 << 24, 1 << 25, 1 << 26
PROTOCOL_41 = 1 << 9
TLS_REQUEST_LENGTH = 32  # a response that ends before the user's name
MARIADB_CACHED_METADATA = 1 << 4  # of the capabilities that only MariaDB has


@dataclass(frozen=True, slots=True)
class Greeting:
    """system: mysql or mariadb. capabilities: the lower 32 bits; extended: those that only MariaDB has."""

    system: str
    capabilities: int
    extended: int


@dataclass(frozen=True, slots=True)
class Response:
    """encrypted: TLS follows. database: '' none."""

    capabilities: int
    extended: int
    encrypted: bool
    database: str


def read_greeting(payload: bytes) -> Greeting | None:
    """The server's first packet; None when it is no greeting of protocol 10."""
    version_end = payload.find(b"\0", 1, 128)
    if payload[:1] != bytes((GREETING_VERSION,)) or version_end < 2:
        return None
    version = payload[1:version_end]
    rest = payload[version_end + 1 :]  # thread 4, salt 8, zero 1, capabilities 2, charset 1, status 2, capabilities 2, ...
    if len(rest) < 15 or rest[12] != 0:
        return None
    mariadb = b"mariadb" in version.lower()
    capabilities = int.from_bytes(rest[13:15] + rest[18:20], "little")
    extended = int.from_bytes(rest[27:31], "little") if mariadb and not capabilities & 1 else 0
    return Greeting("mariadb" if mariadb else "mysql", capabilities, extended)


def read_response(payload: bytes) -> Response | None:
    """The client's first packet: HandshakeResponse41 or SSLRequest; None when it is neither."""
    capabilities = int.from_bytes(payload[:4], "little")
    if len(payload) < TLS_REQUEST_LENGTH or not capabilities & PROTOCOL_41 or any(payload[9:28]):
        return None
    extended = int.from_bytes(payload[28:32], "little") if not capabilities & 1 else 0
    encrypted = len(payload) == TLS_REQUEST_LENGTH and bool(capabilities & TLS)
    database = ""
    if capabilities & CONNECT_WITH_DB and not encrypted:
        database = _read_database(payload, capabilities)
    return Response(capabilities, extended, encrypted, database)


def _read_database(payload: bytes, capabilities: int) -> str:
    position = payload.find(b"\0", TLS_REQUEST_LENGTH) + 1
    if not position:
        return ""
    if capabilities & PLUGIN_LENENC:
        length, position = read_number(payload, position, len(payload))
        position += max(length, 0)
    elif capabilities & SECURE_CONNECTION:
        position += 1 + (payload[position] if position < len(payload) else 0)
    else:
        position = payload.find(b"\0", position) + 1
    end = payload.find(b"\0", position)
    return read_name(payload[position:end]) if end >= 0 else ""


def read_changed_database(payload: bytes) -> str:
    """The database of a COM_CHANGE_USER, '' none."""
    position = payload.find(b"\0", 1) + 1
    if not 0 < position < len(payload):
        return ""
    position += 1 + payload[position]
    end = payload.find(b"\0", position)
    return read_name(payload[position:end]) if end >= 0 else ""
