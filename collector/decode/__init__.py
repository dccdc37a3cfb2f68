"""Decode: records that mean more together, or after parsing, become other records."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, runtime_checkable

from collector.batch import Batch
from collector.decode.captured_requests import CapturedRequestDecoder
from collector.decode.decision import Decision
from collector.decode.dns_lookups import LookupDecoder
from collector.decode.exchanges import ExchangeDecoder


class Decoder(Protocol):
    """Keeps what is unfinished between batches, bounded; raises nothing for any content."""

    def decode(self, batch: Batch) -> list[Batch]:
        """What this batch, together with earlier ones, says; the batch itself stays as it is."""
        ...

    def expire(self, now_boot_ns: int) -> list[Batch]:
        """What has waited too long to be finished."""
        ...

    def counters(self) -> Mapping[str, int]:
        """What became nothing, by reason, since the start."""
        ...


@runtime_checkable
class SteeringDecoder(Protocol):
    """A decoder that tells its probe's kernel half how to treat a connection."""

    def take_decisions(self) -> list[Decision]:
        """Those made since the last call."""
        ...


# `decoder` of a [[record]] -> how to make one; keyword arguments are settings, all with defaults.
DECODERS: dict[str, Callable[..., Decoder]] = {
    "dns": LookupDecoder,
    "exchanges": ExchangeDecoder,
    "segments": CapturedRequestDecoder,
}
