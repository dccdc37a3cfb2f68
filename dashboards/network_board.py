"""network.json: what the workloads of these nodes say to each other, and what goes wrong."""

from __future__ import annotations

from board import Board, choose_workload
from expressions import WINDOW, WORKLOAD, largest, or_zero, quantile, quotient, rate, total
from panels import FULL, HALF, THIRD, lines, number, rows

OPENED = "honeyguide_tcp_connections_opened_total"
CLOSED = "honeyguide_tcp_connections_closed_total"
FAILED = "honeyguide_tcp_connections_failed_total"
OPEN = "honeyguide_tcp_connections_open"
TCP_BYTES = "honeyguide_tcp_io_bytes_total"
UDP_BYTES = "honeyguide_udp_io_bytes_total"
RETRANSMITS = "honeyguide_tcp_retransmits_total"
SEGMENTS = "honeyguide_tcp_segments_total"
LOOKUPS = "honeyguide_dns_lookups_total"
TIMEOUTS = "honeyguide_dns_timeouts_total"
DROPS = "honeyguide_packet_drops_total"
EXECUTIONS = "honeyguide_process_executions_total"
EXITS = "honeyguide_process_exits_total"
OOM_KILLS = "honeyguide_process_oom_kills_total"

SENT, RECEIVED = 'network_io_direction="transmit"', 'network_io_direction="receive"'
CLIENT = 'honeyguide_dns_role="client"'
FAILED_LOOKUP = 'honeyguide_dns_response_code!="noerror"'
RESET = 'honeyguide_flow_outcome=~"reset_by_peer|aborted"'
UNCLEAN = 'honeyguide_process_outcome!="exited"'
NAME, PEER, OUTCOME = "service_name", "service_peer_name", "honeyguide_flow_outcome"
SHARES = {"half of them within": 0.5, "95 of 100 within": 0.95, "99 of 100 within": 0.99}

NOW = [
    number(
        "Open connections",
        "TCP connections open now, each end on these nodes counted.",
        "short",
        or_zero(total(f"{OPEN}{{{WORKLOAD}}}")),
    ),
    number("Opened", "TCP connections established per second.", "cps", or_zero(total(rate(OPENED)))),
    number("Failed to connect", "TCP connects per second that got no connection.", "cps", or_zero(total(rate(FAILED))), bad=0.1),
    number(
        "Segments sent again",
        "Share of the TCP segments sent. Up to 1 % is common on the Internet; inside a data centre it should be near 0.",
        "percentunit",
        or_zero(quotient(total(rate(RETRANSMITS)), total(rate(SEGMENTS, SENT)))),
        bad=0.01,
    ),
    number(
        "Failed name lookups",
        "DNS lookups per second that ended in an error or without an answer.",
        "ops",
        or_zero(total(rate(LOOKUPS, CLIENT, FAILED_LOOKUP))),
        bad=1,
    ),
    number("Dropped packets", "Packets per second that the kernel threw away.", "pps", or_zero(total(rate(DROPS))), bad=10),
]

CONNECTIONS = [
    lines(
        "Opened, by workload",
        "TCP connections established, as client or server. The ten workloads with most.",
        "cps",
        {"{{service_name}} {{honeyguide_flow_role}}": largest(10, total(rate(OPENED), NAME, "honeyguide_flow_role"))},
    ),
    lines(
        "Failed to connect, by workload and cause",
        "TCP connects without a connection. refused: nobody listens. timed_out: no answer. unreachable: no route. abandoned: the "
        "application gave up first.",
        "cps",
        {
            "{{service_name}} → {{service_peer_name}}: {{honeyguide_flow_outcome}}": or_zero(
                largest(10, total(rate(FAILED), NAME, PEER, OUTCOME)), NAME
            )
        },
    ),
    lines(
        "Open, by workload",
        "TCP connections open. A line that only climbs is a leak.",
        "short",
        {"{{service_name}} {{honeyguide_flow_role}}": largest(10, total(f"{OPEN}{{{WORKLOAD}}}", NAME, "honeyguide_flow_role"))},
    ),
    lines(
        "Ended, by how",
        "TCP connections that ended. closed: both sides said so. reset_by_peer: the other side broke it off. aborted: this "
        "side did. timed_out: the other side fell silent.",
        "cps",
        {"{{honeyguide_flow_outcome}}": or_zero(total(rate(CLOSED), OUTCOME), OUTCOME)},
        stacked=True,
    ),
]

TRAFFIC = [
    lines(
        "TCP sent, by workload",
        "Payload, retransmissions left out. The ten workloads with most.",
        "Bps",
        {"{{service_name}}": largest(10, total(rate(TCP_BYTES, SENT), NAME))},
    ),
    lines(
        "TCP received, by workload",
        "Payload. The ten workloads with most.",
        "Bps",
        {"{{service_name}}": largest(10, total(rate(TCP_BYTES, RECEIVED), NAME))},
    ),
    rows(
        "Top talkers",
        "Who exchanges most TCP payload with whom, now.",
        {
            "sent": largest(20, total(rate(TCP_BYTES, SENT), NAME, PEER)),
            "received": largest(20, total(rate(TCP_BYTES, RECEIVED), NAME, PEER)),
        },
        {NAME: "workload", PEER: "peer"},
        "Bps",
        span=HALF,
    ),
    lines(
        "UDP, by workload",
        "Payload of datagrams. The ten workloads with most.",
        "Bps",
        {
            "{{service_name}} sent": largest(10, total(rate(UDP_BYTES, SENT), NAME)),
            "{{service_name}} received": largest(10, total(rate(UDP_BYTES, RECEIVED), NAME)),
        },
    ),
]

QUALITY = [
    lines(
        "Time to connect",
        "From connect() to an established TCP connection: about one round trip, or much more when the first packet is lost.",
        "s",
        {legend: quantile(share, "honeyguide_tcp_connect_duration_seconds") for legend, share in SHARES.items()},
        span=THIRD,
    ),
    lines(
        "Round-trip time",
        "The kernel's smoothed estimate, once for each connection at each interval and at its end.",
        "s",
        {legend: quantile(share, "honeyguide_tcp_rtt_seconds") for legend, share in SHARES.items()},
        span=THIRD,
    ),
    lines(
        "Segments sent again, by workload",
        "Share of the TCP segments sent. The ten workloads with the largest.",
        "percentunit",
        {"{{service_name}}": largest(10, quotient(total(rate(RETRANSMITS), NAME), total(rate(SEGMENTS, SENT), NAME)))},
        span=THIRD,
    ),
    lines(
        "Resets, by workload",
        "TCP connections broken off: by the other side (reset_by_peer) or by this one (aborted).",
        "cps",
        {"{{service_name}}: {{honeyguide_flow_outcome}}": or_zero(largest(10, total(rate(CLOSED, RESET), NAME, OUTCOME)), NAME)},
        span=FULL,
    ),
]

LOOKUP = [
    lines(
        "Time to an answer",
        "DNS, from a question to its answer, seen by who asked.",
        "s",
        {legend: quantile(share, "dns_lookup_duration_seconds") for legend, share in SHARES.items()},
        span=THIRD,
    ),
    lines(
        "Lookups, by answer",
        "DNS lookups that ended. nxdomain: no such name. servfail: the server could not find out. timeout: no answer.",
        "ops",
        {
            "{{honeyguide_dns_response_code}}": or_zero(
                total(rate(LOOKUPS, CLIENT), "honeyguide_dns_response_code"), "honeyguide_dns_response_code"
            )
        },
        span=THIRD,
        stacked=True,
    ),
    lines(
        "Lookups without an answer, by workload",
        "DNS questions that nobody answered in time, and which server did not.",
        "ops",
        {"{{service_name}} → {{service_peer_name}}": or_zero(largest(10, total(rate(TIMEOUTS, CLIENT), NAME, PEER)), NAME)},
        span=THIRD,
    ),
]

PACKETS = [
    lines(
        "Dropped packets, by reason",
        "In the words of the running kernel (enum skb_drop_reason). no_socket: nobody listened. socket_rcvbuff: the application "
        "reads too slowly. netfilter_drop: a firewall rule.",
        "pps",
        {
            "{{honeyguide_packet_drop_reason}} {{network_transport}}": or_zero(
                largest(10, total(rate(DROPS), "honeyguide_packet_drop_reason", "network_transport")),
                "honeyguide_packet_drop_reason",
            )
        },
    ),
    lines(
        "Programs started, by workload",
        "exec calls. The ten workloads with most.",
        "ops",
        {"{{service_name}}": or_zero(largest(10, total(rate(EXECUTIONS), NAME)), NAME)},
    ),
    lines(
        "Processes that did not end by themselves",
        "Killed by a signal, with or without a core dump.",
        "ops",
        {
            "{{service_name}}: {{honeyguide_process_signal}}": or_zero(
                largest(10, total(rate(EXITS, UNCLEAN), NAME, "honeyguide_process_signal")), NAME
            )
        },
    ),
    lines(
        "Killed for memory",
        "Processes that the kernel killed because memory ran out, in their cgroup or on the node.",
        "short",
        {"{{service_name}}": or_zero(total(f"increase({OOM_KILLS}{{{WORKLOAD}}}{WINDOW})", NAME), NAME)},
    ),
]

NETWORK = Board(
    uid="honeyguide-network",
    title="Honeyguide: network flows and failures",
    description="Every connection, name lookup, dropped packet and process of these nodes, by workload.",
    choices=choose_workload(OPENED),
    rows=[
        ("Now", NOW),
        ("Connections", CONNECTIONS),
        ("Traffic", TRAFFIC),
        ("Latency and quality", QUALITY),
        ("Name lookups", LOOKUP),
        ("Packets and processes", PACKETS),
    ],
)
