"""Arithmetic on histogram values: the sum of two series that became one, and what came since an earlier value."""

from __future__ import annotations

from collections.abc import Sequence

from collector.instruments import ExponentialBuckets, HistogramValue, latest_exemplars


def downscale(buckets: ExponentialBuckets, scale: int) -> ExponentialBuckets:
    """The same counts at a coarser scale: each step down joins the buckets 2k and 2k+1 (data model, "Exponential Scale")."""
    steps = buckets.scale - scale
    if steps <= 0 or not buckets.counts:
        return ExponentialBuckets(min(scale, buckets.scale), buckets.zero_count, buckets.offset >> max(steps, 0), buckets.counts)
    offset = buckets.offset >> steps
    counts = [0] * (((buckets.offset + len(buckets.counts) - 1) >> steps) - offset + 1)
    for index, count in enumerate(buckets.counts, buckets.offset):
        counts[(index >> steps) - offset] += int(count)
    return ExponentialBuckets(scale, buckets.zero_count, offset, counts)


def _combine(one: ExponentialBuckets, other: ExponentialBuckets, sign: int) -> ExponentialBuckets:
    """one + sign * other, at the coarser of both scales."""
    scale = min(one.scale, other.scale)
    one, other = downscale(one, scale), downscale(other, scale)
    filled = [buckets for buckets in (one, other) if buckets.counts]
    offset = min((buckets.offset for buckets in filled), default=0)
    counts = [0] * (max((buckets.offset + len(buckets.counts) for buckets in filled), default=0) - offset)
    for buckets, factor in ((one, 1), (other, sign)):
        for index, count in enumerate(buckets.counts, buckets.offset - offset):
            counts[index] += factor * int(count)
    return ExponentialBuckets(scale, one.zero_count + sign * other.zero_count, offset, counts)


def _exponential(one: HistogramValue, other: HistogramValue, sign: int) -> ExponentialBuckets | None:
    if one.exponential is None or other.exponential is None:
        return None
    return _combine(one.exponential, other.exponential, sign)


def _columns(one: Sequence[int], other: Sequence[int], sign: int) -> list[int]:
    return [int(a) + sign * int(b) for a, b in zip(one, other, strict=True)]


def add(one: HistogramValue, other: HistogramValue) -> HistogramValue:
    """The sum of two values of one instrument."""
    counts = _columns(one.counts, other.counts, 1)
    exemplars = latest_exemplars(one.exemplars, other.exemplars)
    return HistogramValue(counts, one.sum + other.sum, one.count + other.count, _exponential(one, other, 1), exemplars)


def since(now: HistogramValue, earlier: HistogramValue) -> HistogramValue | None:
    """What was recorded between two values of one series; None when it cannot be the same series (something went down)."""
    if len(now.counts) != len(earlier.counts) or now.count < earlier.count:
        return None
    counts = _columns(now.counts, earlier.counts, -1)
    exponential = _exponential(now, earlier, -1)
    parts = [*counts, *(exponential.counts if exponential else ())]
    if any(part < 0 for part in parts) or (exponential is not None and exponential.zero_count < 0):
        return None
    exemplars = {bucket: one for bucket, one in now.exemplars.items() if earlier.exemplars.get(bucket) != one}
    return HistogramValue(counts, now.sum - earlier.sum, now.count - earlier.count, exponential, exemplars)


def add_values(one: float | HistogramValue, other: float | HistogramValue) -> float | HistogramValue:
    """The sum of two points of one instrument, whatever its kind."""
    if isinstance(one, HistogramValue) and isinstance(other, HistogramValue):
        return add(one, other)
    assert not isinstance(one, HistogramValue) and not isinstance(other, HistogramValue)
    return one + other
