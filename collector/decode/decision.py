"""What a decoder tells the kernel half of its probe: the one thing that goes against the stream, a few times per connection."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Decision:
    """mode: a value of enum stream_mode (probes/include/exchange.bpf.h) for that connection from now on."""

    flow: int
    mode: int
