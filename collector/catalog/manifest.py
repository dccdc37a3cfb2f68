"""probe.toml: what BTF cannot say about a probe. Pure: text in, a checked model out."""

from __future__ import annotations

import math
import tomllib
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, ValidationError, model_validator

from collector.catalog.manifest_place import line_of
from collector.errors import ManifestError
from collector.instruments import DURATION_BUCKETS, AttributeValue, Instrument, InstrumentKind


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class AtLeast(Part):
    """Rows whose number is not below `least`."""

    least: StrictInt


Condition = StrictBool | Annotated[list[StrictInt | str], Field(min_length=1)] | AtLeast


class Hook(Part):
    """One thing to attach; the first of `alternatives` (C functions) that this kernel takes is used.

    way: the one of the probe's `ways` that this belongs to; without one it belongs to each.
    account: the line of `enum account` that these programs keep; '' for a program in bcc's dialect that keeps none.
    at: of bcc's dialect, function -> where it is attached (kprobe/NAME, uprobe/FILE:NAME, ...). optional: the probe runs
    without it. every_seconds: an iterator (over the elements of map `over`) that is run so often for what it does, not for
    rows.
    """

    purpose: str
    account: str = ""
    alternatives: list[str] = Field(min_length=1)
    way: str = ""
    optional: bool = False
    at: dict[str, str] = Field(default_factory=dict)
    over: str = ""
    every_seconds: float = Field(default=0, ge=0)


class SnapshotOrigin(Part):
    """program: an iterator over the elements of map `over`; sweep: an iterator run before it (finds what is new)."""

    program: str
    over: str = ""
    sweep: str = ""
    once: bool = False


class Idle(Part):
    """Entries of a counting map whose `field` (boot_ns) lies further back are removed."""

    field: str
    after_seconds: float = Field(gt=0)


class Record(Part):
    """struct: the C struct (for `map`: the name of key and value joined, from structs <struct>_key and <struct>_value).

    key identifies a row across snapshots; cumulative: counters; once: fields that become non-zero one time; born: zero
    for what is older than the agent, so that counting starts at its first value.
    payload: rows hold what applications sent; they are never written to a recording.
    computed: column that probe.py adds -> its NumPy type (u8, i8, f8, S16).
    Rows come from ring (its books: `account`; ring_times as large as other rings), snapshot and map, any of them;
    derived: a decoder makes them. constant: words that are the same for all rows; metrics may use them as attributes.
    """

    struct: str
    ring: str = ""
    account: str = ""
    ring_times: Literal[1, 2, 4, 8, 16] = 1
    map: str = ""
    snapshot: SnapshotOrigin | None = None
    derived: bool = False
    decoder: str = ""
    idle: Idle | None = None
    store: Literal["", "flows", "lookups", "requests", "processes"] = ""
    feeds: Literal["", "processes", "cgroups", "names", "translations"] = ""
    key: str = ""
    cumulative: list[str] = Field(default_factory=list)
    once: list[str] = Field(default_factory=list)
    born: str = ""
    constant: dict[str, str] = Field(default_factory=dict)
    payload: bool = False
    computed: dict[str, Annotated[str, Field(pattern=r"^([iu][1248]|f[48]|S[1-9]\d{0,2}|\?)$")]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _comes_from_somewhere(self) -> Record:
        if not (self.ring or self.map or self.snapshot or self.derived):
            raise ValueError("needs `ring`, `map`, `snapshot` or `derived`: where do its rows come from?")
        if self.account and not self.ring:
            raise ValueError("`account` goes with `ring`: it is the account that feeds it")
        if (self.cumulative or self.once) and not self.key and not self.map:
            raise ValueError("`cumulative` and `once` need `key`, the field that identifies a row")
        return self


class Series(Part):
    """One column under an instrument; `with` adds constant attributes."""

    value: str = ""
    where: dict[str, Condition] = Field(default_factory=dict)
    constant: dict[str, AttributeValue] = Field(default_factory=dict, alias="with")


class Metric(Part):
    """One instrument and the columns that feed it.

    weight: of a histogram that the kernel has counted, the column that says how often `value` occurred.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+$")
    kind: InstrumentKind
    unit: str
    help: str = Field(min_length=10)
    record: str
    value: str = ""
    where: dict[str, Condition] = Field(default_factory=dict)
    known: list[str] = Field(default_factory=list)
    identity: list[Literal["local", "peer"]] = Field(default_factory=list)
    attributes: dict[str, str] = Field(default_factory=dict)
    buckets: list[float] = Field(default_factory=list)
    weight: str = ""
    series: list[Series] = Field(default_factory=list)

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Metric:
        if self.kind is InstrumentKind.HISTOGRAM and not all(part.value for part in self.parts()):
            raise ValueError("a histogram needs `value`")
        if self.weight and self.kind is not InstrumentKind.HISTOGRAM:
            raise ValueError("`weight` belongs to a histogram")
        if self.buckets and self.kind is not InstrumentKind.HISTOGRAM:
            raise ValueError("`buckets` belong to a histogram")
        if self.buckets != sorted(set(self.buckets)) or not all(map(math.isfinite, self.buckets)):
            raise ValueError("`buckets` must ascend, and the infinite one is added by itself")
        if self.series and self.value:
            raise ValueError("give either `value` or `series`")
        return self

    def parts(self) -> list[Series]:
        """The columns to feed; at least one."""
        return self.series or [Series(value=self.value)]

    def instrument(self) -> Instrument:
        buckets = tuple(self.buckets) or (DURATION_BUCKETS if self.kind is InstrumentKind.HISTOGRAM else ())
        return Instrument(self.name, self.kind, self.unit, self.help, buckets)


class Steering(Part):
    """modes: hash map flow (u64) -> mode (u32) that the collector writes; generation: array of one u32 counted up then."""

    modes: str
    generation: str


class Manifest(Part):
    """maps: kernel map -> the setting that sizes it. variables: C `const volatile` variable -> the setting that fills it.

    ways: sets of hooks that see the same in different kernels, the cheapest first; one of them is used as a whole.
    metrics_like: the probe beside this one whose metrics are this one's too, for the records that both have.
    """

    question: str = Field(min_length=10)
    cost: str
    oldest_kernel: str = Field(pattern=r"^\d+\.\d+$")
    ways: list[str] = Field(default_factory=list)
    maps: dict[str, str] = Field(default_factory=dict)
    variables: dict[str, str] = Field(default_factory=dict)
    steering: Steering | None = None
    metrics_like: str = ""
    hook: list[Hook] = Field(min_length=1)
    record: list[Record] = Field(min_length=1)
    metric: list[Metric] = Field(default_factory=list)

    @model_validator(mode="after")
    def _names_are_unique(self) -> Manifest:
        given = {
            "hook.purpose": max((self.purposes(way) for way in self.ways or [""]), key=count_repeats),
            "ways": self.ways,
            "record.struct": [record.struct for record in self.record],
            "record.ring": [record.ring for record in self.record if record.ring],
            "metric.name": [metric.name for metric in self.metric],
        }
        for key, names in given.items():
            twice = next((name for name in names if names.count(name) > 1), None)
            if twice is not None:
                raise ValueError(f"{key} = {twice!r} is there twice")
        return self

    @model_validator(mode="after")
    def _hooks_belong_to_ways(self) -> Manifest:
        for hook in self.hook:
            if hook.way and hook.way not in self.ways:
                raise ValueError(f"hook {hook.purpose!r}: `ways` does not name {hook.way!r}")
        for way in self.ways:
            if all(hook.way != way for hook in self.hook):
                raise ValueError(f"no [[hook]] has way = {way!r}")
        return self

    def named_maps(self) -> set[str]:
        """Maps that user space reads or writes."""
        steering = (self.steering.modes, self.steering.generation) if self.steering else ()
        walked = {hook.over for hook in self.hook} | {record.snapshot.over for record in self.record if record.snapshot}
        return {"accounts", *steering, *walked, *(name for record in self.record for name in (record.ring, record.map) if name)}

    def purposes(self, way: str) -> list[str]:
        return [hook.purpose for hook in self.of_way(way).hook]

    def of_way(self, way: str) -> Manifest:
        """Only the hooks of that way, and those of all."""
        hooks = [hook for hook in self.hook if hook.way in {"", way}]
        return self.model_copy(update={"hook": hooks, "ways": [one for one in self.ways if one == way]})

    @model_validator(mode="after")
    def _snapshots_come_from_hooks(self) -> Manifest:
        attached = {program for hook in self.hook for program in hook.alternatives}
        for snapshot in filter(None, (record.snapshot for record in self.record)):
            for program in filter(None, (snapshot.program, snapshot.sweep)):
                if program not in attached:
                    raise ValueError(f"snapshot: no [[hook]] has the program {program!r} among its alternatives")
        return self

    @model_validator(mode="after")
    def _metrics_name_records(self) -> Manifest:
        records = {record.struct for record in self.record}
        for metric in self.metric:
            if metric.record not in records:
                raise ValueError(f"metric {metric.name}: no [[record]] has struct = {metric.record!r}")
        return self


def count_repeats(names: list[str]) -> int:
    return len(names) - len(set(names))


def parse_manifest(text: str, where: str) -> Manifest:
    """ManifestError names the file (`where`), the key and what is allowed."""
    try:
        return Manifest.model_validate(tomllib.loads(text))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(step) for step in first["loc"]) or "the whole"
        more = f" ({error.error_count() - 1} more)" if error.error_count() > 1 else ""
        line = line_of(text, first["loc"])
        raise ManifestError(
            f"{where}:{line}: {place}: {first['msg']}{more}.", "docs/adding-a-probe.md lists every key."
        ) from None
    except (ValueError, RecursionError) as error:  # TOMLDecodeError, a number of 5,000 digits, a thousand brackets
        raise ManifestError(f"{where} is not valid TOML: {error}.") from None
