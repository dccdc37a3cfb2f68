"""ClickHouse's HTTP interface: statements, and inserts of compressed Native blocks, through a watched session."""

from __future__ import annotations

from collector.export.clickhouse_answer import read_refusal
from collector.export.clickhouse_settings import ClickHouseSettings
from collector.export.otlp_outcome import Outcome
from collector.export.watched_session import WatchedSession


class ClickHouseHttp:
    """One thread sends; another may abort, which ends a request at once."""

    def __init__(self, settings: ClickHouseSettings) -> None:
        self._settings = settings
        self._session = WatchedSession(_read_answer, read_refusal)
        if settings.ca_file is not None:
            self._session.verify = str(settings.ca_file)
        self._session.headers.update({"User-Agent": "honeyguide", **settings.headers})

    def ask(self, statement: str) -> Outcome:
        """A statement without data; `text` of a good outcome is the answer. Bounded in time, never an exception."""
        return self._post({}, statement.encode(), {})

    def insert(self, statement: str, body: bytes, token: str) -> Outcome:
        """body: gzip. token: equal ones are taken once by servers that know it; '' for others."""
        parameters = {"query": statement, **({"insert_deduplication_token": token} if token else {})}
        return self._post(parameters, body, {"Content-Encoding": "gzip"})

    def _post(self, parameters: dict[str, str], body: bytes, headers: dict[str, str]) -> Outcome:
        return self._session.deliver(self._settings.address(parameters), body, self._settings.timeout_seconds, headers)

    def abort(self) -> None:
        """Ends what is being sent, and refuses all that comes after."""
        self._session.cut("closing", "the agent ends", for_good=True)

    def close(self) -> None:
        self._session.close()


def _read_answer(answer: bytes) -> Outcome:
    return Outcome(text=answer.decode("utf-8", "replace").strip())
