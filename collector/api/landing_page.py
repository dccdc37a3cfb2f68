"""The page at /: what this is, where to go on, and a live summary. Self-contained: nothing is loaded from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Sequence

from collector.api.landing_script import SCRIPT

STYLE = """
:root{color-scheme:light dark;--ink:#1c1917;--soft:#78716c;--line:#e7e5e4;--card:#fff;--ground:#fafaf9;--honey:#b45309;
--bad:#b91c1c}
@media(prefers-color-scheme:dark){:root{--ink:#f5f5f4;--soft:#a8a29e;--line:#292524;--card:#1c1917;--ground:#0c0a09;
--honey:#fbbf24;--bad:#f87171}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main{max-width:56rem;margin:0 auto;padding:3rem 1.5rem}
h1{margin:0;font-size:2rem;letter-spacing:-.02em}h1 span{color:var(--honey)}
p{color:var(--soft);max-width:40rem}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(7.5rem,1fr));gap:1rem;margin:2rem 0}
.card{background:var(--card);border:1px solid var(--line);border-radius:.75rem;padding:1rem}
.card b{display:block;font-size:1.75rem;font-variant-numeric:tabular-nums}
.card small{color:var(--soft)}
table{width:100%;border-collapse:collapse;font-size:.9rem}
th{color:var(--soft);font-weight:500;text-align:left}th,td{padding:.4rem .75rem .4rem 0;border-bottom:1px solid var(--line)}
td{overflow:hidden;text-overflow:ellipsis;max-width:16rem;white-space:nowrap}.number{text-align:right;font-variant-numeric:tabular-nums}
.whole td{white-space:normal;max-width:none;vertical-align:top}
.bad{color:var(--bad)}a{color:var(--honey);text-decoration:none}a:hover{text-decoration:underline}
nav{display:flex;flex-wrap:wrap;gap:.5rem 1.5rem;margin-top:2rem}code{font-size:.9em}
svg:empty{display:none}svg{width:100%;height:auto;max-height:32rem;font-size:13px}.node rect{fill:var(--card);stroke:var(--line)}
.node text{fill:var(--ink)}
.edge{fill:none;stroke:var(--soft);opacity:.6}.edge.failed{stroke:var(--bad)}.edge:hover{opacity:1;stroke:var(--honey)}
dt{margin-top:1.5rem}dd{margin:0 0 0 1rem}h2{margin:2.5rem 0 .5rem;font-size:1.1rem}h2 code{font-size:1rem}
"""


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


POLICY = (
    f"default-src 'none'; style-src {_hash(STYLE)}; script-src {_hash(SCRIPT)}; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def page(title: str, body: str, script: str = "") -> str:
    """A whole HTML page; `body` and `script` are trusted, `title` is escaped."""
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f'<link rel="icon" href="data:,"><title>{html.escape(title)}</title><style>{STYLE}</style><main>{body}</main>'
        + (f"<script>{script}</script>" if script else "")
    )


def table(name: str, heads: Sequence[str], first_number: int) -> str:
    """An empty table; the script fills the body called `name`."""
    columns = "".join(f"<th{' class=number' if place >= first_number else ''}>{head}</th>" for place, head in enumerate(heads))
    return f'<table><thead><tr>{columns}</tr></thead><tbody id="{name}"></tbody></table>'


def landing_page(version: str) -> str:
    """The page; its numbers are fetched from the API by the reader's browser."""
    cards = (
        ("state", "health"), ("requests", "requests kept"), ("tcp", "TCP open"), ("udp", "UDP active"),
        ("lookups", "name lookups"), ("lost", "events lost"),
    )  # fmt: skip
    shown = "".join(f'<div class="card"><b id="{name}">&hellip;</b><small>{text}</small></div>' for name, text in cards)
    links = "".join(f'<a href="{path}">{text}</a>' for path, text in LINKS)
    body = (
        "<h1>honey<span>guide</span></h1>"
        f"<p>Every connection, request, name lookup and process of this node, by workload, with no change to any of them. "
        f"Version {html.escape(version)}.</p>"
        f'<p id="reasons" class="bad"></p><div class="cards">{shown}</div>'
        '<h2>Who calls whom, last 5 minutes</h2><svg id="map" role="img" aria-label="Service map"></svg>'
        "<p>Red: connections or requests on it failed. Point at a line for its numbers.</p>"
        f"{table('edges', EDGE_HEADS, 3)}<h2>What is asked, last 5 minutes</h2>{table('asked', ASKED_HEADS, 4)}"
        f"<nav>{links}</nav>"
    )
    return page("honeyguide", body, SCRIPT)


EDGE_HEADS = ("Client", "Server", "Port", "Connections", "Failed", "Bytes", "RTT")
ASKED_HEADS = ("Workload", "", "Protocol", "What", "Requests", "Errors", "P50", "P99")
LINKS = (
    ("/docs", "API reference"),
    ("/openapi.json", "OpenAPI"),
    ("/metrics", "Prometheus metrics"),
    ("/api/v1/flows?limit=20", "Flows"),
    ("/api/v1/flows?group_by=workload,peer", "Flows by workload"),
    ("/api/v1/requests?limit=20", "Requests"),
    ("/api/v1/requests?since=5m&amp;group_by=workload,route", "Requests by route"),
    ("/api/v1/lookups?limit=20", "Lookups"),
    ("/api/v1/services/map", "Service map"),
    ("/api/v1/services/map?by=namespace", "Map by namespace"),
    ("/api/v1/workloads", "Workloads"),
    ("/api/v1/pods", "Pods"),
    ("/api/v1/processes", "Processes"),
    ("/api/v1/probes", "Probes"),
)
