"""How a request to the API server can fail, and what each way means for who asked."""

from __future__ import annotations

import enum


class Outcome(enum.Enum):
    """The values are public: an attribute of honeyguide.kubernetes.requests."""

    ANSWERED = "answered"
    ENDED = "ended"  # a watch whose time was over
    GONE = "gone"  # 410: that version is forgotten, list again
    REWOUND = "rewound"  # the server counts versions from an earlier one: etcd was restored from a snapshot
    UNAUTHENTICATED = "unauthenticated"  # 401
    REFUSED = "refused"  # 403: RBAC
    MISSING = "missing"  # 404: no such object, or no such API
    UNSUPPORTED = "unsupported"  # 400, 422: this server does not know what was asked for
    BUSY = "busy"  # 429
    SERVER_ERROR = "server_error"  # 5xx
    UNREACHABLE = "unreachable"
    TLS = "tls"
    DROPPED = "dropped"  # the connection ended in the middle
    SILENT = "silent"  # nothing came for too long
    UNREADABLE = "unreadable"  # not what the API promises


_OF_STATUS = {
    400: Outcome.UNSUPPORTED,
    401: Outcome.UNAUTHENTICATED,
    403: Outcome.REFUSED,
    404: Outcome.MISSING,
    410: Outcome.GONE,
    422: Outcome.UNSUPPORTED,
    429: Outcome.BUSY,
}


class ApiError(Exception):
    """retry_after: seconds that the server asks to wait; 0: it did not say."""

    def __init__(self, outcome: Outcome, cause: str, retry_after: float = 0.0) -> None:
        super().__init__(cause)
        self.outcome = outcome
        self.cause = cause
        self.retry_after = retry_after


def outcome_of_status(code: int) -> Outcome:
    """Of an HTTP status, or of the code in a Status object."""
    return _OF_STATUS.get(code, Outcome.SERVER_ERROR)


def remedy_for(outcome: Outcome, resource: str) -> str:
    """What a person can do; '' where waiting helps."""
    return {
        Outcome.REFUSED: f"Allow it in the ClusterRole (deploy/kubernetes/clusterrole.yaml): get, list and watch {resource}; "
        "or ask for less with HONEYGUIDE_KUBERNETES_PEERS.",
        Outcome.UNAUTHENTICATED: "Check the service account's token, or the user in the kubeconfig.",
        Outcome.TLS: "Check that the certificate authority in the service account or kubeconfig is this cluster's.",
        Outcome.UNREACHABLE: "Check the server's address, and that no NetworkPolicy or firewall is in the way.",
        Outcome.MISSING: f"This API server has no {resource} in version v1; Kubernetes 1.21 or later has. "
        "HONEYGUIDE_KUBERNETES_PEERS=off does without them.",
    }.get(outcome, "")
