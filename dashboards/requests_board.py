"""requests.json: what services are asked, how fast and how well they answer: rates, errors, durations."""

from __future__ import annotations

from board import Board, choose_workload
from expressions import largest, or_zero, quantile, quotient, rate, total
from panels import FULL, HALF, THIRD, lines, number, rows

OPENED = "honeyguide_tcp_connections_opened_total"  # every workload that talks at all
HTTP = "http_server_request_duration_seconds"
ASKED = "http_client_request_duration_seconds"
ANSWER_SIZE = "http_server_response_body_size_bytes"
CALL = "rpc_server_call_duration_seconds"
CALLED = "rpc_client_call_duration_seconds"
QUERY = "db_client_operation_duration_seconds"
SERVED = "honeyguide_db_server_operation_duration_seconds"

FAILED = 'error_type!=""'
ANSWERED = 'error_type!="unanswered"'  # what nobody answered has no duration
NAME, PEER, ERROR = "service_name", "service_peer_name", "error_type"
METHOD, ROUTE, STATUS = "http_request_method", "http_route", "http_response_status_code"
SYSTEM, OPERATION, TABLE = "db_system_name", "db_operation_name", "db_collection_name"
SHARES = {"half of them within": 0.5, "95 of 100 within": 0.95, "99 of 100 within": 0.99}


def count(name: str) -> str:
    return f"{name}_count"


NOW = [
    number("Requests", "HTTP requests per second that services answered.", "reqps", or_zero(total(rate(count(HTTP))))),
    number(
        "Failed requests",
        "Share of the HTTP requests that ended with 5xx or without an answer.",
        "percentunit",
        or_zero(quotient(total(rate(count(HTTP), FAILED)), total(rate(count(HTTP))))),
        bad=0.01,
    ),
    number("Requests within", "95 of 100 HTTP requests were answered within this time.", "s", quantile(0.95, HTTP, ANSWERED)),
    number("Calls", "Remote procedure calls per second that services answered.", "reqps", or_zero(total(rate(count(CALL))))),
    number("Database operations", "Per second, as who asked saw them.", "ops", or_zero(total(rate(count(QUERY))))),
    number(
        "Failed operations",
        "Share of the database operations that ended in an error.",
        "percentunit",
        or_zero(quotient(total(rate(count(QUERY), FAILED)), total(rate(count(QUERY))))),
        bad=0.01,
    ),
]

SERVICES = [
    lines(
        "Requests, by workload",
        "HTTP requests that it answered. The ten workloads with most.",
        "reqps",
        {"{{service_name}}": largest(10, total(rate(count(HTTP)), NAME))},
        span=THIRD,
    ),
    lines(
        "Failed requests, by workload and error",
        "HTTP requests that it answered with 5xx, or not at all (unanswered).",
        "reqps",
        {"{{service_name}}: {{error_type}}": or_zero(largest(10, total(rate(count(HTTP), FAILED), NAME, ERROR)), NAME)},
        span=THIRD,
    ),
    lines(
        "95 of 100 requests within, by workload",
        "From the first byte of the request to the last of the answer. The ten slowest workloads.",
        "s",
        {"{{service_name}}": largest(10, quantile(0.95, HTTP, ANSWERED, by=(NAME,)))},
        span=THIRD,
    ),
]

ROUTES = [
    rows(
        "Routes asked most",
        "Paths as templates, and how many of their requests failed.",
        {
            "requests": largest(20, total(rate(count(HTTP)), NAME, METHOD, ROUTE)),
            "failed": total(rate(count(HTTP), FAILED), NAME, METHOD, ROUTE),
        },
        {NAME: "workload", METHOD: "method", ROUTE: "route"},
        "reqps",
        span=HALF,
    ),
    rows(
        "Slowest routes",
        "Paths as templates, with the time within which half, and 95 of 100, of their requests were answered.",
        {
            "95 of 100": largest(20, quantile(0.95, HTTP, ANSWERED, by=(NAME, METHOD, ROUTE))),
            "half": quantile(0.5, HTTP, ANSWERED, by=(NAME, METHOD, ROUTE)),
        },
        {NAME: "workload", METHOD: "method", ROUTE: "route"},
        "s",
        span=HALF,
    ),
    lines(
        "Answers, by status",
        "HTTP requests by the status that they were answered with.",
        "reqps",
        {"{{http_response_status_code}}": total(rate(count(HTTP)), STATUS)},
        span=THIRD,
        stacked=True,
    ),
    lines(
        "Time to answer",
        "HTTP requests, from the first byte of the request to the last of the answer.",
        "s",
        {legend: quantile(share, HTTP, ANSWERED) for legend, share in SHARES.items()},
        span=THIRD,
    ),
    lines(
        "Size of answers",
        "Bodies on the wire, where the head's end was seen.",
        "bytes",
        {legend: quantile(share, ANSWER_SIZE) for legend, share in SHARES.items()},
        span=THIRD,
    ),
]

EDGES = [
    rows(
        "Who asks whom",
        "Requests, calls and database operations, as who asks sees them.",
        {
            "requests": largest(20, total(rate(count(ASKED)), NAME, PEER)),
            "calls": largest(20, total(rate(count(CALLED)), NAME, PEER)),
            "database operations": largest(20, total(rate(count(QUERY)), NAME, PEER)),
        },
        {NAME: "workload", PEER: "asks"},
        "reqps",
        span=HALF,
    ),
    lines(
        "Failed at the client, by whom and error",
        "HTTP requests that failed for who asked: from 400 on, or without an answer.",
        "reqps",
        {
            "{{service_name}} → {{service_peer_name}}: {{error_type}}": or_zero(
                largest(10, total(rate(count(ASKED), FAILED), NAME, PEER, ERROR)), NAME
            )
        },
    ),
]

CALLS = [
    lines(
        "Calls, by method",
        "gRPC calls that services answered. The ten methods with most.",
        "reqps",
        {"{{service_name}} {{rpc_method}}": or_zero(largest(10, total(rate(count(CALL)), NAME, "rpc_method")), NAME)},
        span=THIRD,
    ),
    lines(
        "Failed calls, by method and status",
        "Statuses that are the server's fault: UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS.",
        "reqps",
        {"{{rpc_method}}: {{error_type}}": or_zero(largest(10, total(rate(count(CALL), FAILED), "rpc_method", ERROR)), ERROR)},
        span=THIRD,
    ),
    lines(
        "Time to answer a call",
        "From the first byte of the call to its status.",
        "s",
        {legend: or_zero(quantile(share, CALL, ANSWERED)) for legend, share in SHARES.items()},
        span=THIRD,
    ),
]

DATABASES = [
    lines(
        "Operations, by system",
        "Database operations as clients saw them. The ten with most.",
        "ops",
        {
            "{{db_system_name}} {{db_operation_name}}": or_zero(
                largest(10, total(rate(count(QUERY)), SYSTEM, OPERATION)), OPERATION
            )
        },
    ),
    lines(
        "Failed operations, by workload and code",
        "Database operations that ended in an error, by the database's own code.",
        "ops",
        {"{{service_name}}: {{error_type}}": or_zero(largest(10, total(rate(count(QUERY), FAILED), NAME, ERROR)), NAME)},
    ),
    lines(
        "Time of an operation, at the client",
        "From the first byte of the query to the last of its answer.",
        "s",
        {legend: or_zero(quantile(share, QUERY, ANSWERED)) for legend, share in SHARES.items()},
    ),
    lines(
        "Time of an operation, at the server",
        "The same as the database's end saw it, where it runs on these nodes.",
        "s",
        {legend: or_zero(quantile(share, SERVED, ANSWERED)) for legend, share in SHARES.items()},
    ),
    rows(
        "Slowest operations",
        "The time within which 95 of 100 were answered.",
        {
            "95 of 100": largest(20, quantile(0.95, QUERY, ANSWERED, by=(NAME, SYSTEM, OPERATION, TABLE))),
        },
        {NAME: "workload", SYSTEM: "system", OPERATION: "operation", TABLE: "table"},
        "s",
        span=FULL,
    ),
]

REQUESTS = Board(
    uid="honeyguide-requests",
    title="Honeyguide: requests",
    description="What every service is asked, how fast and how well it answers: HTTP, gRPC, PostgreSQL, MySQL and Redis.",
    choices=choose_workload(OPENED),
    rows=[
        ("Now", NOW),
        ("Services", SERVICES),
        ("Routes", ROUTES),
        ("Who asks whom", EDGES),
        ("gRPC", CALLS),
        ("Databases", DATABASES),
    ],
)
