"""The kinds of values that options have: how each is read from text, checked, described and written back."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from collector.quantities import read_bytes, read_seconds, show_bytes, show_seconds

_LISTEN = re.compile(r"(?:\[(?P<ipv6>[0-9A-Fa-f:.%]+)\]|(?P<host>[A-Za-z0-9_.-]+)):(?P<port>\d{1,5})")
_PROBE_NAME = re.compile(r"[a-z][a-z0-9_]*")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_ATTRIBUTES = re.compile(r"(?:[a-z][a-z0-9_.]*:)?[a-z][A-Za-z0-9_./-]*(?:\+[a-z][A-Za-z0-9_./-]*)*")
_CLASS_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")


@dataclass(frozen=True, slots=True)
class Kind:
    """allowed: what values are, for people; show: writes one value; placeholder: its name in a flag's help."""

    allowed: str
    placeholder: str
    show: Callable[[Any], str] = str


def _split(value: object) -> object:
    """A list from 'a,b', from ['a,b', 'c'] (a repeated flag) or from a TOML table {a = 'b'} ('a=b')."""
    if isinstance(value, dict):
        return [f"{name}={one}" for name, many in value.items() for one in (many if isinstance(many, list) else [many])]
    parts = [value] if isinstance(value, str) else value
    if not isinstance(parts, list | tuple):
        return parts
    split = [part.split(",") if isinstance(part, str) else [part] for part in parts]
    return [part.strip() if isinstance(part, str) else part for group in split for part in group if part != ""]


def _check_listen(value: str) -> str:
    match = _LISTEN.fullmatch(value)
    if match is None or int(match["port"]) > 65535:
        raise ValueError("not host:port")
    if match["ipv6"]:
        ipaddress.IPv6Address(match["ipv6"])
    return value


def _check_power_of_two(value: int) -> int:
    if value & (value - 1):
        raise ValueError("not a power of two")
    return value


def _check_probe_name(value: str) -> str:
    if not _PROBE_NAME.fullmatch(value):
        raise ValueError("not a probe's name")
    return value


def _check_token(value: SecretStr | None) -> SecretStr | None:
    text = value.get_secret_value() if value is not None else None
    if text is not None and not (8 <= len(text) <= 512 and text.isascii() and text.isprintable() and " " not in text):
        raise ValueError("not a usable token")
    return value


def _read_class(value: str) -> str:
    name, separator, network = value.partition("=")
    if not separator or not _CLASS_NAME.fullmatch(name.strip()):
        raise ValueError("not name=CIDR")
    return f"{name.strip()}={ipaddress.ip_network(network.strip(), strict=False)}"


def _check_password(value: SecretStr | None) -> SecretStr | None:
    text = value.get_secret_value() if value is not None else ""
    if len(text) > 512 or not text.isprintable() or not text.isascii() or text != text.strip():
        raise ValueError("not a usable password")
    return value


def _check_server(value: str) -> str:
    if "@" in urlsplit(value).netloc:
        raise ValueError("the user and password have options of their own")
    if any(name in dict(parse_qsl(urlsplit(value).query)) for name in ("user", "password", "query")):
        raise ValueError("user, password and query do not belong into the address")
    return _check_endpoint(value)


def _check_identifier(value: str) -> str:
    if not _IDENTIFIER.fullmatch(value):
        raise ValueError("not a name")
    return value


def _check_hook(value: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_]*=\w+", value):
        raise ValueError("not probe=kind or probe=program")
    return value


def _check_attributes(value: str) -> str:
    if not _ATTRIBUTES.fullmatch(value) or ("+" in value and ":" not in value):
        raise ValueError("not an attribute's name or METRIC:NAME+NAME")
    return value


def _check_endpoint(value: str) -> str:
    if value and not re.fullmatch(r"https?://[^\s/]+(/\S*)?", value):
        raise ValueError("not an http:// or https:// address")
    return value


_PROBE_LIST = Kind("names of probes, separated by commas", "NAME,...", ",".join)
Bytes = Annotated[
    int, BeforeValidator(read_bytes), AfterValidator(_check_power_of_two), Kind("a power of two", "SIZE", show_bytes)
]
Seconds = Annotated[float, BeforeValidator(read_seconds), Kind("", "TIME", show_seconds)]
Count = Annotated[int, Kind("", "N")]
Ratio = Annotated[float, Kind("", "RATIO", lambda value: f"{value:g}")]
Switch = Annotated[bool, Kind("true or false", "", lambda value: str(value).lower())]
ProbeNames = Annotated[tuple[Annotated[str, AfterValidator(_check_probe_name)], ...], BeforeValidator(_split), _PROBE_LIST]
Folders = Annotated[
    tuple[Path, ...],
    BeforeValidator(_split),
    Kind("folders, separated by commas", "FOLDER,...", lambda value: ",".join(map(str, value))),
]
Folder = Annotated[Path, Kind("a folder", "FOLDER")]
Ports = Annotated[
    tuple[Annotated[int, Field(ge=1, le=65535)], ...],
    BeforeValidator(_split),
    Field(min_length=1, max_length=8),
    Kind("1 to 8 port numbers, separated by commas", "PORT,...", lambda value: ",".join(map(str, value))),
]
Classes = Annotated[
    tuple[Annotated[str, AfterValidator(_read_class)], ...],
    BeforeValidator(_split),
    Field(max_length=1000),
    Kind("up to 1000 of name=CIDR, separated by commas", "NAME=CIDR,...", ",".join),
]
HookWords = Annotated[
    tuple[Annotated[str, AfterValidator(_check_hook)], ...],
    BeforeValidator(_split),
    Kind("probe=kind of hook or probe=program, separated by commas", "PROBE=HOOK,...", ",".join),
]
Attributes = Annotated[
    tuple[Annotated[str, AfterValidator(_check_attributes)], ...],
    BeforeValidator(_split),
    Field(max_length=100),
    Kind("names of attributes, or METRIC:NAME+NAME", "NAME,...", ",".join),
]
Address = Annotated[str, AfterValidator(_check_listen), Kind("host:port, IPv6 in brackets: [::1]:9464", "HOST:PORT")]
Token = Annotated[
    SecretStr | None,
    AfterValidator(_check_token),
    Kind("8 to 512 printable ASCII characters without spaces", "", lambda value: "**********" if value else ""),
]
Password = Annotated[
    SecretStr | None,
    AfterValidator(_check_password),
    Kind("up to 512 printable ASCII characters", "", lambda value: "**********" if value else ""),
]
Server = Annotated[
    str, AfterValidator(_check_server), Kind("an http:// or https:// address without user and password, or empty", "URL")
]
Identifier = Annotated[str, AfterValidator(_check_identifier), Kind("letters, digits and _", "NAME")]
RowTables = Annotated[
    tuple[Literal["flows", "requests", "lookups"], ...],
    BeforeValidator(_split),
    Field(min_length=1),
    Kind("some of flows, requests, lookups, separated by commas", "TABLE,...", ",".join),
]
Text = Annotated[str, Field(max_length=128, pattern=r"^[\x21-\x7e]*$"), Kind("printable ASCII without spaces", "NAME")]
OptionalFolder = Annotated[Path | None, Kind("a folder", "FOLDER", lambda value: str(value or ""))]
Endpoint = Annotated[str, AfterValidator(_check_endpoint), Kind("an http:// or https:// address, or empty", "URL")]
OptionalFile = Annotated[Path | None, Kind("a readable file", "FILE", lambda value: str(value or ""))]


NodeName = Annotated[str, Field(pattern=r"^$|^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$"), Kind("a node's name, or empty", "NAME")]
NamePatterns = Annotated[
    tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9*]([A-Za-z0-9*_./-]{0,315}[A-Za-z0-9*])?$")], ...],
    BeforeValidator(_split),
    Field(max_length=100),
    Kind("up to 100 names, * for anything, separated by commas", "NAME,...", ",".join),
]


def choice(*values: str) -> Kind:
    """The kind of an option that is one of `values`."""
    return Kind(", ".join(values), "|".join(values))
