from hypothesis import given
from hypothesis import strategies as st

from collector.export.histogram_merge import add, downscale, since
from collector.instruments import ExponentialBuckets, HistogramValue

EXPONENTIAL = st.builds(
    ExponentialBuckets,
    scale=st.integers(-4, 12),
    zero_count=st.integers(0, 5),
    offset=st.integers(-200, 200),
    counts=st.lists(st.integers(0, 50), max_size=60),
)


def histogram(buckets: ExponentialBuckets | None) -> HistogramValue:
    count = buckets.zero_count + sum(buckets.counts) if buckets else 0
    return HistogramValue([count, 0], float(count), count, buckets)


def by_index(buckets: ExponentialBuckets) -> dict[int, int]:
    return {index: count for index, count in enumerate(buckets.counts, buckets.offset) if count}


def test_downscale_joins_neighbours_as_the_data_model_says() -> None:
    buckets = ExponentialBuckets(scale=1, zero_count=3, offset=-3, counts=[1, 2, 4, 8])
    assert downscale(buckets, 0) == ExponentialBuckets(scale=0, zero_count=3, offset=-2, counts=[1, 6, 8])


@given(EXPONENTIAL, st.integers(0, 6))
def test_downscale_keeps_every_observation(buckets: ExponentialBuckets, steps: int) -> None:
    coarse = downscale(buckets, buckets.scale - steps)
    wanted: dict[int, int] = {}
    for index, count in by_index(buckets).items():
        wanted[index >> steps] = wanted.get(index >> steps, 0) + count
    assert by_index(coarse) == wanted
    assert coarse.scale == buckets.scale - steps


@given(EXPONENTIAL, EXPONENTIAL)
def test_since_undoes_add(one: ExponentialBuckets, other: ExponentialBuckets) -> None:
    total = add(histogram(one), histogram(other))
    difference = since(total, histogram(other))
    assert difference is not None
    assert difference.exponential is not None
    assert by_index(difference.exponential) == by_index(downscale(one, min(one.scale, other.scale)))
    assert difference.exponential.zero_count == one.zero_count
    assert (difference.count, list(difference.counts)) == (histogram(one).count, list(histogram(one).counts))


def test_sum_with_a_histogram_without_exponential_buckets_has_none() -> None:
    assert add(histogram(ExponentialBuckets(0, 0, 0, [1])), histogram(None)).exponential is None


def test_a_histogram_that_went_down_has_no_difference() -> None:
    before, after = HistogramValue([3, 0], 1.0, 3), HistogramValue([2, 2], 1.5, 4)
    assert since(after, before) is None
    assert since(HistogramValue([1], 0.1, 1), before) is None
    assert since(HistogramValue([0, 0], 0.0, 0), before) is None
