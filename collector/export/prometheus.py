"""/metrics: a snapshot as a page in the format the client asks for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from collector.export.prometheus_families import Families, attribute_labels
from collector.export.prometheus_page import in_pieces, page_lines
from collector.instruments import Snapshot

# As prometheus_client has them; to read them from there would bring in a web server.
CONTENT_TYPE_PLAIN = "text/plain; version=0.0.4; charset=utf-8"
CONTENT_TYPE_OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def render(
    snapshot: Snapshot, accept: str, resource: Mapping[str, str] | None = None, read: Families | None = None
) -> tuple[Iterator[bytes], str]:
    """The page, piece by piece, and its content type. accept: the Accept header; resource: attributes for target_info, left out
    when empty.

    read: how the snapshot becomes families; all attributes become labels without it. Its families are made as the pieces are
    asked for: a page of 200,000 lines has 50 MB, and what it is made of three times as much.
    """
    openmetrics = wants_openmetrics(accept)
    families = (read or Families()).read(snapshot)
    lines = page_lines(families, attribute_labels(resource or {}), openmetrics=openmetrics)
    return in_pieces(lines), CONTENT_TYPE_OPENMETRICS if openmetrics else CONTENT_TYPE_PLAIN


def wants_openmetrics(accept: str) -> bool:
    """True when OpenMetrics 1.0 (or 0.0.1, which reads the same) is asked for at least as much as plain text."""
    wishes = {"application/openmetrics-text": 0.0, "text/plain": 0.0}
    for entry in accept.split(","):
        media_type, *parameters = (part.strip().lower() for part in entry.split(";"))
        named = dict(part.split("=", 1) for part in parameters if "=" in part)
        if media_type in wishes and named.get("version", "1.0.0") in ("0.0.1", "0.0.4", "1.0.0"):
            wishes[media_type] = max(wishes[media_type], _quality(named.get("q", "1")))
    return 0 < wishes["application/openmetrics-text"] >= wishes["text/plain"]


def _quality(text: str) -> float:
    try:
        return min(max(float(text), 0.0), 1.0)
    except ValueError:
        return 0.0
