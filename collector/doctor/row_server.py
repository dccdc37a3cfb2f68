"""Whether the ClickHouse server that rows are to be sent to answers, and fits."""

from __future__ import annotations

from collections.abc import Iterator

from collector.doctor.finding import Finding, no, note, yes
from collector.settings import Settings
from collector.settings_for_clickhouse import clickhouse_settings


def inspect_row_server(settings: Settings) -> Iterator[Finding]:
    """One finding for the server, and one for each table."""
    wanted = clickhouse_settings(settings)
    if wanted is None:
        yield note("server", "Not asked: clickhouse_url names none.")
        return
    from collector.export.clickhouse_trial import try_server  # noqa: PLC0415 -- only where rows are sent

    for trial in try_server(wanted):
        yield no(trial.subject, trial.cause, trial.remedy) if trial.cause else yes(trial.subject, trial.detail)
