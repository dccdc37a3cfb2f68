"""agent.json: whether the agents can be trusted and what they cost: health, books, limits."""

from __future__ import annotations

from board import Board
from expressions import NODE, largest, or_zero, quotient, rate, total
from panels import FULL, THIRD, lines, number, rows

EVENTS = "honeyguide_probe_events_total"
RECORDS = "honeyguide_probe_records_total"
MISSED = "honeyguide_probe_missed_total"
HEALTH = "honeyguide_health_ratio"
STATE = "honeyguide_probe_state_ratio"
LAG = "honeyguide_pipeline_lag_seconds"
CPU = "honeyguide_process_cpu_seconds_total"
MEMORY = "honeyguide_process_memory_rss_bytes"
RUN_TIME, RUNS = "honeyguide_program_runtime_seconds_total", "honeyguide_program_runs_total"
POINTS = "honeyguide_otlp_points_total"

PROBE, ACCOUNT, RECORD = "honeyguide_probe", "honeyguide_account", "honeyguide_record"
REASON, WHAT = "honeyguide_reason", "honeyguide_outcome"
DROPPED = f'{WHAT}="dropped"'
UNDECODABLE = f'{WHAT}="undecodable"'
LOST = " or ".join([rate(EVENTS, DROPPED, of=NODE), rate(MISSED, of=NODE), rate(RECORDS, UNDECODABLE, of=NODE)])


def counted(outcome: str) -> str:
    """A column of the books: since the agent started."""
    return total(f'{EVENTS}{{{NODE},{WHAT}="{outcome}"}}', PROBE, ACCOUNT)


def gauge(name: str, *matchers: str) -> str:
    return f"{name}{{{','.join((NODE, *matchers))}}}"


NOW = [
    number(
        "Health",
        "Degraded while events are lost or a limit is hit; /api/v1/health of the agent says which.",
        "none",
        f"min({gauge(HEALTH)})",
        words={"1": "ok green", "0": "degraded red"},
    ),
    number(
        "Probes running",
        "Over all chosen nodes. Those that cannot run are listed with cause and remedy by `honeyguide probes`.",
        "none",
        total(gauge(STATE, 'honeyguide_state="running"')),
    ),
    number("Lost", "Events per second that never reached the numbers on these boards.", "ops", or_zero(total(LOST)), bad=0.001),
    number(
        "CPU", "Cores used by the agent, the mean over the chosen nodes.", "percentunit", f"avg({rate(CPU, of=NODE)})", bad=0.5
    ),
    number(
        "Memory", "Resident memory of the agent, the largest of the chosen nodes.", "bytes", f"max({gauge(MEMORY)})", bad=2.5e8
    ),
    number(
        "Lag",
        "How long the last drain and its processing took, the longest of the chosen nodes.",
        "s",
        f"max({gauge(LAG)})",
        bad=1,
    ),
]

BOOKS = [
    rows(
        "The books",
        "Since the agents started: seen = emitted + filtered + sampled + dropped, for each account of each probe. "
        "What is read while events come in may differ by those on their way.",
        {name: counted(name) for name in ("seen", "emitted", "filtered", "sampled")}
        | {"dropped": f"{counted('dropped')} or {counted('seen')} * 0"},
        {PROBE: "probe", ACCOUNT: "account"},
        "short",
    ),
    lines(
        "Seen, by probe",
        "Events that the kernel halves looked at.",
        "ops",
        {"{{honeyguide_probe}} {{honeyguide_account}}": total(rate(EVENTS, f'{WHAT}="seen"', of=NODE), PROBE, ACCOUNT)},
        span=THIRD,
    ),
    lines(
        "Emitted, by probe",
        "Events that the kernel halves handed over or counted.",
        "ops",
        {"{{honeyguide_probe}} {{honeyguide_account}}": total(rate(EVENTS, f'{WHAT}="emitted"', of=NODE), PROBE, ACCOUNT)},
        span=THIRD,
    ),
    lines(
        "Lost, by probe and reason",
        "ring_full: the agent did not drain fast enough. map_full: a table in the kernel was full. missed: the program "
        "was already running on that CPU. undecodable: a record had not the size its manifest promises.",
        "ops",
        {
            "{{honeyguide_probe}} {{honeyguide_reason}}": or_zero(total(rate(EVENTS, DROPPED, of=NODE), PROBE, REASON), PROBE),
            "{{honeyguide_probe}} missed": or_zero(total(rate(MISSED, of=NODE), PROBE), PROBE),
            "{{honeyguide_probe}} undecodable": or_zero(total(rate(RECORDS, UNDECODABLE, of=NODE), PROBE), PROBE),
        },
        span=THIRD,
    ),
]

PIPELINE = [
    lines(
        "Rows, by record",
        "What went through the pipeline.",
        "ops",
        {
            "{{honeyguide_probe}} {{honeyguide_record}}": total(
                rate("honeyguide_pipeline_rows_total", of=NODE), PROBE, "honeyguide_record"
            )
        },
    ),
    lines("Lag", "How long each drain and its processing took.", "s", {"{{instance}}": gauge(LAG)}),
    lines(
        "Ring fill",
        "How full each ring was when it was drained: near 100 % events get lost.",
        "percentunit",
        {"{{honeyguide_probe}} {{honeyguide_record}}": f"max by ({PROBE}, {RECORD}) ({gauge('honeyguide_ring_fill_ratio')})"},
    ),
    lines(
        "Not understood or not known",
        "What decoders could not use, what identity could not know or keep, and rows that fit no metric of their manifest.",
        "ops",
        {
            "decoder: {{honeyguide_probe}} {{honeyguide_reason}}": or_zero(
                total(rate("honeyguide_decoder_discards_total", of=NODE), PROBE, REASON), REASON
            ),
            "identity: {{honeyguide_reason}}": or_zero(
                total(rate("honeyguide_identity_discards_total", of=NODE), REASON), REASON
            ),
            "metric: {{honeyguide_instrument}}": or_zero(
                total(rate("honeyguide_metric_rejected_total", of=NODE), "honeyguide_instrument"), "honeyguide_instrument"
            ),
        },
    ),
]

COST = [
    lines("CPU", "Cores used by the agent.", "percentunit", {"{{instance}}": rate(CPU, of=NODE)}, span=THIRD),
    lines("Memory", "Resident memory of the agent.", "bytes", {"{{instance}}": gauge(MEMORY)}, span=THIRD),
    lines(
        "CPU in the kernel, by program",
        "Cores used by our programs in the kernel; only while run-time statistics are on (HONEYGUIDE_PROGRAM_STATISTICS).",
        "percentunit",
        {"{{honeyguide_program}}": or_zero(total(rate(RUN_TIME, of=NODE), "honeyguide_program"), "honeyguide_program")},
        span=THIRD,
        stacked=True,
    ),
    lines(
        "Time of one run, by program",
        "Mean; only while run-time statistics are on.",
        "s",
        {
            "{{honeyguide_program}}": or_zero(
                quotient(total(rate(RUN_TIME, of=NODE), "honeyguide_program"), total(rate(RUNS, of=NODE), "honeyguide_program")),
                "honeyguide_program",
            )
        },
        span=FULL,
    ),
]

LIMITS = [
    lines(
        "Series, by instrument",
        "Kept now. At the limit (HONEYGUIDE_MAX_SERIES) new ones are counted under one name.",
        "short",
        {"{{honeyguide_instrument}}": largest(10, f"max by (honeyguide_instrument) ({gauge('honeyguide_series_active')})")},
        span=THIRD,
    ),
    lines(
        "Series over the limit or idle",
        "Rows counted under the overflow series, and series removed because nobody added to them.",
        "ops",
        {
            "over the limit: {{honeyguide_instrument}}": total(
                rate("honeyguide_series_overflow_total", of=NODE), "honeyguide_instrument"
            ),
            "idle: {{honeyguide_instrument}}": total(rate("honeyguide_series_evicted_total", of=NODE), "honeyguide_instrument"),
        },
        span=THIRD,
    ),
    lines(
        "Rows kept for the API",
        "Flows and name lookups that can be asked for.",
        "short",
        {"{{honeyguide_store}}": total(gauge("honeyguide_store_rows"), "honeyguide_store")},
        span=THIRD,
    ),
    lines(
        "Rows no longer kept",
        "Overwritten by newer ones, or over capacity.",
        "ops",
        {"{{honeyguide_reason}}": or_zero(total(rate("honeyguide_store_discards_total", of=NODE), REASON), REASON)},
        span=THIRD,
    ),
    lines(
        "How the other side was found",
        "Rows by what named the remote workload, or that nothing did.",
        "ops",
        {
            "{{honeyguide_evidence}}": or_zero(
                total(rate("honeyguide_peer_rows_total", of=NODE), "honeyguide_evidence"), "honeyguide_evidence"
            )
        },
        span=THIRD,
    ),
    lines(
        "Points over OTLP",
        "Delivered, or not and why. Nothing is queued: what failed is in the next export. 0 where no endpoint is configured.",
        "ops",
        {"{{honeyguide_outcome}}": or_zero(total(rate(POINTS, of=NODE), WHAT), WHAT)},
        span=THIRD,
    ),
]

AGENT = Board(
    uid="honeyguide-agent",
    title="Honeyguide: the agent and its books",
    description="Whether the numbers can be trusted, and what they cost.",
    choices=[("node", "Node", f"label_values({LAG}, instance)")],
    rows=[("Now", NOW), ("Books", BOOKS), ("Pipeline", PIPELINE), ("Cost", COST), ("Limits and exports", LIMITS)],
)
