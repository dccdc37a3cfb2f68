"""A packet capture as a source: TCP segments and DNS messages of a pcap or pcapng file, as batches.

The records' clock is the capture's own: boot time is unix time here, the offset is 0.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

from collector.accounts import Book
from collector.batch import Batch
from collector.catalog.probe_model import ProbeModel
from collector.clock import FixedClock
from collector.errors import RecordingError
from collector.probe_status import HookStatus, ProbeState, ProbeStatus
from collector.source.capture_file import read_packets
from collector.source.capture_stream import Packet
from collector.source.captured_packets import Timed, message_batch, segment_batch
from collector.source.packet_headers import NOT_OURS, TCP, Segment, read_headers

log = logging.getLogger(__name__)
PACKETS_PER_READ = 2048
BYTES_PER_READ = 8 << 20
TIME_LIMIT_NS = 1 << 63
OTHER_DATAGRAMS = "other_datagrams"
IMPOSSIBLE_TIME = "impossible_time"


class CaptureSource:
    """probes: from read_capture_probes. left_out: packets by reason. complete: read to the end without damage."""

    def __init__(self, path: Path, probes: Sequence[ProbeModel], dns_ports: Sequence[int] = (53,)) -> None:
        self._path = path
        self._dns_ports = frozenset(dns_ports)
        self._packets: Iterator[Packet] = iter(())
        self._first: list[Packet] = []
        self.clock = FixedClock(0)
        self.probes = list(probes)
        self.left_out: Counter[str] = Counter()
        self.seen = 0
        self.finished = False
        self.complete = False

    def open(self) -> None:
        """RecordingError when the file is no capture."""
        self._packets = read_packets(self._path)
        self._first = list(islice(self._packets, 1))

    def read(self) -> list[Batch]:
        """What the next packets carry, names before what needs them; damage ends the capture: what follows cannot be found."""
        segments: list[Timed] = []
        messages: list[Timed] = []
        for packet in self._next_packets():
            segment = self._read(packet)
            if segment is not None:
                (messages if self._is_dns(segment) else segments).append((packet.time_ns, segment))
        batches = [message_batch(messages, tuple(self._dns_ports))] if messages else []
        if segments or self.finished:
            batches.append(segment_batch(segments, ended=self.finished))
        return batches

    def _next_packets(self) -> list[Packet]:
        packets, self._first = self._first, []
        room = BYTES_PER_READ
        try:
            for packet in islice(self._packets, PACKETS_PER_READ):
                packets.append(packet)
                room -= len(packet.data)
                if room < 0:
                    break
            else:
                self.finished = self.complete = len(packets) < PACKETS_PER_READ
        except RecordingError as error:
            log.warning("the capture ends before its time: %s", error.cause)
            self.finished = True
        self.seen += len(packets)
        return packets

    def _read(self, packet: Packet) -> Segment | None:
        """None when it is left out, and counted."""
        found = read_headers(packet.link_type, packet.data, packet.length)
        if not 0 < packet.time_ns < TIME_LIMIT_NS:
            found = IMPOSSIBLE_TIME
        elif isinstance(found, Segment) and found.transport != TCP and not self._is_dns(found):
            found = OTHER_DATAGRAMS
        if isinstance(found, str):
            self.left_out[found] += 1
            return None
        self.clock.now_boot_ns = max(self.clock.now_boot_ns, packet.time_ns)
        return found

    def _is_dns(self, segment: Segment) -> bool:
        return segment.source_port in self._dns_ports or segment.destination_port in self._dns_ports

    def steer(self, probe: str, modes: Mapping[int, int]) -> None:
        return None

    def books(self) -> list[Book]:
        """Filtered: what carries neither requests nor lookups. Dropped: what might have, and could not be read."""
        filtered = NOT_OURS | {OTHER_DATAGRAMS}
        dropped = {reason: count for reason, count in self.left_out.items() if reason not in filtered}
        emitted = self.seen - sum(self.left_out.values())
        of_others = sum(self.left_out[reason] for reason in filtered)
        return [Book("capture", "packets", self.seen, emitted, of_others, 0, dropped, True, emitted)]

    def statuses(self) -> list[ProbeStatus]:
        return [
            ProbeStatus(
                probe.name,
                probe.manifest.question,
                ProbeState.REPLAYED,
                tuple(HookStatus(hook.purpose, hook.alternatives[0], "packet capture") for hook in probe.manifest.hook),
            )
            for probe in self.probes
        ]

    def fills(self) -> dict[tuple[str, str], float]:
        return {}

    def close(self) -> None:
        if isinstance(self._packets, Generator):
            self._packets.close()
        self._packets = iter(())
