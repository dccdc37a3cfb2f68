"""The frames of a recording: what is in the file, without a word about what it means.

Inside gzip: the line MAGIC, then frames {u32 length of header, header as JSON, u64 length of payload, payload}. A
header is an object with a `type`; the frame of type `end` is the last.
"""

from __future__ import annotations

import gzip
import json
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from collector.errors import RecordingError

MAGIC = b"honeyguide recording 1\n"
HEADER_LENGTH = struct.Struct("<I")
PAYLOAD_LENGTH = struct.Struct("<Q")
LONGEST_HEADER = 16 << 20
LONGEST_PAYLOAD = 1 << 30
PIECE = 1 << 20
REMEDY = "Make one: honeyguide record -o FILE"
Frame = tuple[dict[str, Any], bytes]


def pack_frame(header: dict[str, Any], payload: bytes = b"") -> bytes:
    text = json.dumps(header, separators=(",", ":")).encode()
    return HEADER_LENGTH.pack(len(text)) + text + PAYLOAD_LENGTH.pack(len(payload)) + payload


def read_frames(path: Path) -> Iterator[Frame]:
    """(header, payload) one after the other; ends quietly where a file was cut, RecordingError when it is none of ours."""
    try:
        with gzip.open(path, "rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise RecordingError(f"{path} is not a honeyguide recording (version 1).", REMEDY)
            while frame := read_frame(file, path):
                yield frame
                if frame[0].get("type") == "end":
                    return
    except EOFError:
        return
    except (OSError, zlib.error) as error:
        raise RecordingError(f"{path} cannot be read: {error}.", REMEDY) from None


def read_frame(file: gzip.GzipFile, path: Path) -> Frame | None:
    """None when the file ends before the frame does."""
    text = read_part(file, HEADER_LENGTH, LONGEST_HEADER, path)
    payload = None if text is None else read_part(file, PAYLOAD_LENGTH, LONGEST_PAYLOAD, path)
    if text is None or payload is None:
        return None
    try:
        header = json.loads(text)
    except (ValueError, RecursionError):
        raise RecordingError(f"{path} is damaged.") from None
    if not isinstance(header, dict):
        raise RecordingError(f"{path} is damaged.")
    return header, payload


def read_part(file: gzip.GzipFile, prefix: struct.Struct, longest: int, path: Path) -> bytes | None:
    """Bytes behind their length; None when the file ends before. Memory is taken as bytes come, not as the length claims."""
    length_bytes = file.read(prefix.size)
    if len(length_bytes) < prefix.size:
        return None
    (length,) = prefix.unpack(length_bytes)
    if length > longest:
        raise RecordingError(f"{path} is damaged.")
    content = bytearray()
    while len(content) < length:
        piece = file.read(min(length - len(content), PIECE))
        if not piece:
            return None
        content += piece
    return bytes(content)
