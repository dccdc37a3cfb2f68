"""Who may ask: everybody on this machine while the API is bound to loopback, else who knows the token."""

from __future__ import annotations

import hmac
import ipaddress
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from collector.api.refusals import refuse
from collector.errors import SettingsError

URL_BYTES_MAX = 8192
HEAD_BYTES_MAX = 16384  # request line and headers
OPEN_ROUTES = ("/healthz", "/readyz")
SECURITY_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}


@dataclass(frozen=True, slots=True)
class Security:
    """token: what clients must send, '' for none. loopback_names_only: refuse requests that name another host.

    Without the second, a web page could have its own name resolve to 127.0.0.1 and read the answers (DNS rebinding).
    """

    token: str = ""
    loopback_names_only: bool = True


def choose_security(host: str, token: str, *, allow_unauthenticated: bool) -> Security:
    """What protects an API bound to `host`; SettingsError when nothing would."""
    if token:
        return Security(token, loopback_names_only=False)
    if is_loopback(host):
        return Security("", loopback_names_only=True)
    if allow_unauthenticated:
        return Security("", loopback_names_only=False)
    raise SettingsError(
        f"Other machines can reach {host}, and there is no token.",
        "Set HONEYGUIDE_TOKEN, or listen on 127.0.0.1, or say allow_unauthenticated if all who reach it may read everything.",
    )


def is_loopback(host: str) -> bool:
    """Whether a name or address (no port, brackets allowed) is this machine's loopback."""
    try:
        return ipaddress.ip_address(host.strip("[]").partition("%")[0]).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost"


def host_name(header: str) -> str:
    """The Host header without its port."""
    if header.startswith("["):
        return header.partition("]")[0] + "]"
    return header.rpartition(":")[0] if header.count(":") == 1 else header


class Guard:
    """Outermost layer of the application: turns away who may not ask, and adds the security headers to every answer."""

    def __init__(self, app: ASGIApp, security: Security) -> None:
        self._app = app
        self._security = security

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = self._refusal(scope)
        await (refusal or self._app)(scope, receive, send_guarded)

    def _refusal(self, scope: Scope) -> ASGIApp | None:
        headers = Headers(scope=scope)
        if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > URL_BYTES_MAX:
            return refuse(414, f"The URL is longer than {URL_BYTES_MAX} bytes.")
        if sum(len(name) + len(value) for name, value in scope["headers"]) > HEAD_BYTES_MAX:
            return refuse(431, f"The headers are longer than {HEAD_BYTES_MAX} bytes.")
        if self._security.loopback_names_only and not is_loopback(host_name(headers.get("host", ""))):
            return refuse(
                403, "The Host header does not name this machine's loopback address.", "Host", "localhost, 127.0.0.1 or [::1]"
            )
        if _comes_from_another_site(headers):
            return refuse(403, "Pages of other sites may not ask.")
        if self._security.token and scope["path"] not in OPEN_ROUTES and not self._knows_token(headers):
            answer = refuse(401, "This needs the agent's token.", "Authorization", "Bearer, a space, and the token")
            answer.headers["www-authenticate"] = 'Bearer realm="honeyguide"'
            return answer
        return None

    def _knows_token(self, headers: Headers) -> bool:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        expected = self._security.token.encode("utf-8", "surrogateescape")
        # headers are Latin-1 by now, the token is UTF-8
        return hmac.compare_digest(given.strip().encode("latin-1"), expected) and scheme.lower() == "bearer"


def _comes_from_another_site(headers: Headers) -> bool:
    """Browsers say so; following a link is fine, fetching in the background is not."""
    return headers.get("sec-fetch-site") in ("cross-site", "same-site") and headers.get("sec-fetch-mode") != "navigate"
