"""The recordings in tests/data/http: real clients and servers, and what they said themselves about each request."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conversation_script import Script

from collector.decode.protocols.http1 import Http1Conversation
from collector.decode.protocols.http2 import Http2Conversation
from collector.decode.request import Conversation, Side

FOLDER = Path(__file__).parent.parent.parent / "data/http"
CONVERSATIONS: dict[str, Callable[[], Conversation]] = {"http1": Http1Conversation, "http2": Http2Conversation}


@dataclass(frozen=True)
class Sample:
    """connections: their scripts. requests: attributes of `Request` and their values, one for each request."""

    name: str
    make: Callable[[], Conversation]
    connections: list[Script]
    requests: list[Mapping[str, Any]]


def read_samples() -> list[Sample]:
    return [read_sample(path) for path in sorted(FOLDER.glob("*.jsonl"))]


def read_sample(path: Path) -> Sample:
    first, *lines = map(json.loads, path.read_text().splitlines())
    connections = [
        [(Side[side.upper()], zlib.decompress(base64.b64decode(piece))) for side, piece in line]
        for line in lines
        if isinstance(line, list)
    ]
    return Sample(path.stem, CONVERSATIONS[first["protocol"]], connections, [line for line in lines if isinstance(line, dict)])
