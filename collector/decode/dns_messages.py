"""From captured packets to parsed messages: each distinct payload is parsed once."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np

from collector.batch import Batch, Column, Rows
from collector.decode.dns_streams import Piece, StreamTable
from collector.decode.protocols.dns import DnsMessage, parse

IDENTIFIER_BYTES = 2
REMEMBERED_MAX = 4096
REMEMBERED_BYTES_MAX = 512
QUERY = 0  # the opcode


@dataclass(frozen=True, slots=True)
class Messages:
    """n messages. rows: the packets they came in (their last piece for TCP), shape (n,); identifiers: shape (n,);
    distinct: the different messages; which: index into `distinct`, shape (n,)."""

    rows: Rows
    identifiers: Column
    distinct: list[DnsMessage]
    which: Column


class MessageReader:
    """undecodable: messages that are no DNS or too short; other_operations: NOTIFY, UPDATE and the like."""

    def __init__(self) -> None:
        self.streams = StreamTable()
        self.undecodable = 0
        self.other_operations = 0
        self._remembered: OrderedDict[bytes, DnsMessage | None] = OrderedDict()

    def read(self, batch: Batch) -> Messages:
        """Queries and their responses in a batch of dns_message, in the order in which they were seen."""
        over_tcp = batch["transport"] == number_of(batch, "transport", "tcp")
        datagrams, segments = np.flatnonzero(~over_tcp), np.flatnonzero(over_tcp)
        contents, which = split_datagrams(batch.rows[datagrams])
        places, identifiers = [datagrams], [read_identifiers(batch.rows["payload"][datagrams])]
        parts = [which]
        if len(segments):
            from_segment, framed = self._read_segments(batch, segments)
            places.append(np.array(from_segment, np.intp))
            identifiers.append(np.array([int.from_bytes(message[:IDENTIFIER_BYTES], "big") for message in framed], np.uint16))
            parts.append(np.arange(len(contents), len(contents) + len(framed)))
            contents += [message[IDENTIFIER_BYTES:] for message in framed]
        return self._parse(batch.rows, np.concatenate(places), np.concatenate(identifiers), contents, np.concatenate(parts))

    def _read_segments(self, batch: Batch, segments: Column) -> tuple[list[int], list[bytes]]:
        """(index of the row that brought it, message) of each message that ended. A call per segment: DNS over TCP is rare."""
        indices: list[int] = []
        messages: list[bytes] = []
        keys = stream_keys(batch.rows[segments])
        for key, index in zip(keys, segments, strict=True):
            row = batch.rows[index]
            content = row["payload"][: row["captured_length"]].tobytes()
            ended = self.streams.add(key, Piece(int(row["sequence"]), int(row["payload_length"]), content))
            messages += ended
            indices += [int(index)] * len(ended)
        return indices, messages

    def _parse(self, rows: Rows, places: Column, identifiers: Column, contents: list[bytes], which: Column) -> Messages:
        parsed = [self._parse_once(content) for content in contents]
        is_message = np.array([message is not None for message in parsed], bool)[which]
        is_query = np.array([message is not None and message.opcode == QUERY for message in parsed], bool)[which]
        self.undecodable += int(np.count_nonzero(~is_message))
        self.other_operations += int(np.count_nonzero(is_message & ~is_query))
        kept = np.flatnonzero(is_query)
        distinct = [message or NOTHING for message in parsed]
        return Messages(rows[places[kept]], identifiers[kept], distinct, which[kept])

    def _parse_once(self, content: bytes) -> DnsMessage | None:
        """`content`: a message without its identifier."""
        if content in self._remembered:
            self._remembered.move_to_end(content)
            return self._remembered[content]
        message = parse(bytes(IDENTIFIER_BYTES) + content)
        if len(content) <= REMEMBERED_BYTES_MAX:
            self._remembered[content] = message
            if len(self._remembered) > REMEMBERED_MAX:
                self._remembered.popitem(last=False)
        return message


NOTHING = DnsMessage(is_response=False, opcode=QUERY, response_code=0, truncated=False)  # stands where nothing refers to


def number_of(batch: Batch, field: str, name: str) -> int:
    """The number that `name` has in the enum of `field`; KeyError when the record's enum has no such name."""
    numbers = {label: number for number, label in batch.schema.field(field).names.items()}
    return numbers[name]


def read_identifiers(payload: Column) -> Column:
    """payload: shape (n, 512). uint16 of the first two bytes, shape (n,)."""
    return payload[:, 0].astype(np.uint16) << 8 | payload[:, 1]


def split_datagrams(rows: Rows) -> tuple[list[bytes], Column]:
    """(different payloads without identifier, index into them for each row)."""
    if not len(rows):
        return [], np.empty(0, np.intp)
    lengths = np.minimum(rows["captured_length"], rows["payload"].shape[1]).astype("<u2")
    comparable = rows["payload"].copy()
    comparable[:, :IDENTIFIER_BYTES] = lengths.view(np.uint8).reshape(-1, IDENTIFIER_BYTES)  # not the same with fewer bytes
    whole = comparable.view(np.dtype((np.void, comparable.shape[1]))).ravel()
    _, first, which = np.unique(whole, return_index=True, return_inverse=True)
    contents = [comparable[row, IDENTIFIER_BYTES : lengths[row]].tobytes() for row in first]
    return contents, which.ravel()


def stream_keys(rows: Rows) -> list[bytes]:
    """One key for each row: connection and direction. The socket alone is not enough: what comes with the last packet of
    the handshake is the listening socket's."""
    names = ["flow", "direction", "local_port", "remote_port", "remote_address"]
    return [key.tobytes() for key in rows[names].astype([(name, rows.dtype[name]) for name in names])]
