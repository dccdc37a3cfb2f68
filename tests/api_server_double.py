"""A Kubernetes API server for tests: list, watch and get over TLS, with a throw-away authority; it misbehaves when told to.

    with api_server_double(tmp_path) as cluster:
        cluster.put("pods", pod("web-1", node="node-1", addresses=("10.1.0.2",)))      # shapes: tests/cluster_objects.py
        ... start the agent: HONEYGUIDE_KUBECONFIG=cluster.kubeconfig, NODE_NAME=node-1 ...
        cluster.put("pods", pod("web-1", addresses=("10.1.0.3",)))                     # watchers see it at once
        cluster.delete("pods", "default", "web-1")
        cluster.misbehave(refuse("pods", 429, **{"Retry-After": "1"}))                 # the next request (api_server_faults.py)
        cluster.interrupt("pods", "cut")                                               # streams that run now
        cluster.requests                                                               # what was asked, and how many bytes it got

It runs in threads of the calling process. put and delete may come from any thread. streaming_lists: whether it knows
sendInitialEvents (Kubernetes 1.34) or answers 422, as older ones do. Times are seconds.
"""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from api_server_faults import Fault, Request
from cluster_store import RESOURCES, ClusterStore, Key, Object, Resource, Selector, Stored
from throwaway_certificates import Certificates, make_certificates

METADATA_ONLY = "as=PartialObjectMetadata"
METADATA_OF_ONE = f"{METADATA_ONLY};"  # no list has that form
END_OF_INITIAL = {"k8s.io/initial-events-end": "true"}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    cluster: ApiServerDouble
    asked: Request

    def setup(self) -> None:
        self.request.settimeout(20)
        self.request.do_handshake()
        super().setup()

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        self.asked = self._understand(url.path, dict(parse_qsl(url.query)))
        self.cluster.requests.append(self.asked)
        try:
            fault = self.cluster.take_fault(self.asked)
            (fault.act if fault else Handler.serve)(self)
        finally:
            self.asked.ended = True

    def _understand(self, path: str, query: dict[str, str]) -> Request:
        words = path.strip("/").split("/")
        names = {"name": "", "namespace": ""}
        resource = next((word for word in reversed(words) if word in RESOURCES and word != "namespaces"), words[-1])
        if "namespaces" in words[:-1] and resource != "namespaces":
            names["namespace"] = words[words.index("namespaces") + 1]
        if words[-1] != resource:
            names["name"] = words[-1]
        verb = "get" if names["name"] else "watch" if query.get("watch") in ("1", "true") else "list"
        bearer = self.headers.get("Authorization", "").removeprefix("Bearer ")
        certificate = self.request.getpeercert() or {}
        subject = ",".join(value for part in certificate.get("subject", ()) for _, value in part)
        agent, accept = self.headers.get("User-Agent", ""), self.headers.get("Accept", "")
        return Request(verb, resource, query, accept, bearer, agent, subject, **names)

    def serve(self) -> None:
        """As a healthy API server would."""
        asked = self.asked
        if asked.bearer not in self.cluster.tokens and not asked.subject:
            return self.answer_status(401, "Unauthorized")
        if asked.resource not in RESOURCES or not self.path.startswith(f"{self.resource.prefix}/"):
            return self.answer_status(404, "NotFound", "the server could not find the requested resource")
        if (asked.verb, asked.resource) in self.cluster.forbidden:
            text = f'{asked.resource} is forbidden: User "honeyguide" cannot {asked.verb} resource "{asked.resource}"'
            return self.answer_status(403, "Forbidden", text)
        return {"list": self._list, "watch": self._watch, "get": self._get}[asked.verb]()

    @property
    def resource(self) -> Resource:
        return RESOURCES[self.asked.resource]

    def _selector(self) -> Selector:
        wanted = dict(pair.split("=") for pair in self.asked.query.get("fieldSelector", "").split(",") if pair)
        node = wanted.get("spec.nodeName")
        return (lambda _: True) if node is None else (lambda stored: stored.node == node)

    def _list(self) -> None:
        query = self.asked.query
        if METADATA_OF_ONE in self.asked.accept:
            text = f"you requested PartialObjectMetadata, but the requested object is a list (*core.{self.resource.kind}List)"
            return self.answer_status(406, "NotAcceptable", text)
        place, _, version = query.get("continue", "").rpartition("@")
        if place and int(version) < self.cluster.store.oldest:
            return self.answer(410, json.dumps(expired(place)).encode())
        limit = 0 if query.get("resourceVersion") == "0" else int(query.get("limit", 0))  # the watch cache knew no limit
        after: Key = tuple(place.split("/")) if place else ("", "")  # type: ignore[assignment]
        found, now, more = self.cluster.store.list(self.asked.resource, self._selector(), after, limit)
        return self.answer(200, self._page(found, version or str(now), more))

    def _page(self, found: list[Stored], version: str, more: Key | None) -> bytes:
        metadata = {"resourceVersion": version} | ({"continue": f"{more[0]}/{more[1]}@{version}"} if more else {})
        only = METADATA_ONLY in self.asked.accept
        kind, api = ("PartialObjectMetadata", "meta.k8s.io/v1") if only else (self.resource.kind, self.resource.api_version)
        head = json.dumps({"kind": f"{kind}List", "apiVersion": api, "metadata": metadata}, separators=(",", ":")).encode()
        return head[:-1] + b',"items":[' + b",".join(self._form(one, named=only) for one in found) + b"]}\n"

    def _form(self, stored: Stored, named: bool = True) -> bytes:
        """As asked for: whole, or its metadata only; named: with kind and apiVersion, as outside lists."""
        if METADATA_ONLY in self.asked.accept:
            metadata = json.dumps(stored.object["metadata"], separators=(",", ":")).encode()
            return b'{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":' + metadata + b"}"
        if not named:
            return stored.encoded
        return f'{{"kind":"{self.resource.kind}","apiVersion":"{self.resource.api_version}",'.encode() + stored.encoded[1:]

    def _get(self) -> None:
        stored = self.cluster.store.objects[self.asked.resource].get((self.asked.namespace, self.asked.name))
        if stored is None:
            return self.answer_status(404, "NotFound")
        return self.answer(200, self._form(stored))

    def _watch(self) -> None:
        query, store = self.asked.query, self.cluster.store
        if "sendInitialEvents" in query and not self.cluster.streaming_lists:
            return self.answer_status(422, "Invalid", "resourceVersionMatch is forbidden for watch")
        version = query.get("resourceVersion", "")
        stream = Stream(self, self._selector())
        if version not in ("", "0") and int(version) < store.oldest:
            self.begin_stream()
            return stream.refuse(410, f"too old resource version: {version} ({store.oldest})")
        return stream.run(int(version or 0), "sendInitialEvents" in query or version in ("", "0"))

    def begin_stream(self) -> None:
        self.asked.status = 200
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
        self.asked.sent += len(data)

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.asked.status = status
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.asked.sent += len(body)

    def answer_status(self, status: int, reason: str = "", message: str = "told to", **headers: str) -> None:
        self.answer(status, json.dumps(status_object(status, reason, message)).encode(), **headers)

    def wait_for_end(self) -> None:
        self.cluster.ended.wait(60)
        self.close_connection = True

    def begin_silence(self) -> None:
        self.begin_stream()
        self.wait_for_end()

    def say(self, line: bytes) -> None:
        self.begin_stream()
        self.chunk(line)
        self.wfile.write(b"0\r\n\r\n")

    def send_half_a_page(self) -> None:
        body = self._page(*self.cluster.store.list(self.asked.resource, self._selector()))  # type: ignore[arg-type]
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2])
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        return


@dataclass
class Stream:
    """One watch: what happened since, then what happens."""

    handler: Handler
    chosen: Selector

    def run(self, version: int, initial: bool) -> None:
        handler, cluster = self.handler, self.handler.cluster
        interruptions, seen = cluster.interruptions, len(cluster.interruptions)
        handler.begin_stream()
        if initial:
            version = self._tell_what_is()
        ends = time.monotonic() + int(handler.asked.query.get("timeoutSeconds", 1800))
        while time.monotonic() < ends and not cluster.ended.is_set():
            with cluster.store.changed:
                if not cluster.has_news(handler.asked.resource, version, seen):
                    cluster.store.changed.wait(0.2)
                if version < cluster.store.forgotten:
                    self._interrupt("410", version)
                    return
                events, version = self._news(version), max(version, cluster.store.version)
            if events:
                handler.chunk(b"".join(self._line(kind, handler._form(stored)) for kind, stored in events))
            for resource, how in interruptions[seen:]:
                if resource == handler.asked.resource and self._interrupt(how, version):
                    return
            seen = len(interruptions)
        handler.wfile.write(b"0\r\n\r\n")

    def _news(self, version: int) -> list[tuple[str, Stored]]:
        found = self.handler.cluster.store.since(self.handler.asked.resource, version, self.chosen)
        return [(kind, stored) for _, kind, stored in found]

    def _tell_what_is(self) -> int:
        found, version, _ = self.handler.cluster.store.list(self.handler.asked.resource, self.chosen)
        for start in range(0, len(found), 100):
            self.handler.chunk(b"".join(self._line("ADDED", self.handler._form(one)) for one in found[start : start + 100]))
        if "sendInitialEvents" in self.handler.asked.query:
            self._bookmark(version, END_OF_INITIAL)
        return version

    def _bookmark(self, version: int, annotations: dict[str, str]) -> None:
        metadata = {"resourceVersion": str(version), "creationTimestamp": None, "annotations": annotations}
        resource = self.handler.resource
        body = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata, "spec": {}, "status": {}}
        self.handler.chunk(self._line("BOOKMARK", json.dumps(body).encode()))

    def _interrupt(self, how: str, version: int) -> bool:
        """True when the stream is over."""
        handler = self.handler
        if how == "bookmark":
            self._bookmark(version, {})
        elif how == "early bookmark":
            self._bookmark(handler.cluster.store.version, {})
        elif how == "end":
            handler.wfile.write(b"0\r\n\r\n")
        elif how == "cut":
            handler.chunk(b'{"type":"MODIFIED","object":{"metadata":{"na')
        elif how == "garbage":
            handler.chunk(b"\x00 not json\n")
        else:
            self.refuse(int(how), "told to")
        handler.close_connection = how != "end"
        return how not in ("bookmark", "early bookmark", "garbage")

    def refuse(self, code: int, message: str) -> None:
        """As an event: the status of the answer is 200 already."""
        self.handler.chunk(self._line("ERROR", json.dumps(status_object(code, "Expired", message)).encode()))
        self.handler.wfile.write(b"0\r\n\r\n")

    @staticmethod
    def _line(kind: str, body: bytes) -> bytes:
        return b'{"type":"%b","object":%b}\n' % (kind.encode(), body)


def status_object(code: int, reason: str, message: str) -> Object:
    body = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
    return {**body, "message": message, "reason": reason, "code": code}


def expired(place: str) -> Object:
    """With a token for those who do not mind that the rest is of another version."""
    told = status_object(410, "Expired", "The provided continue parameter is too old to display a consistent list result.")
    return {**told, "metadata": {"continue": f"{place}@inconsistent"}}


@dataclass
class ApiServerDouble:
    """tokens: bearer tokens that it accepts. forbidden: (verb, resource) that RBAC denies. Verbs: list, watch, get."""

    folder: Path
    certificates: Certificates
    store: ClusterStore = field(default_factory=ClusterStore)
    streaming_lists: bool = True
    tokens: set[str] = field(default_factory=lambda: {"first-token"})
    forbidden: set[tuple[str, str]] = field(default_factory=set)
    requests: list[Request] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    interruptions: list[tuple[str, str]] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)
    address: str = ""

    def put(self, resource: str, body: Object) -> None:
        self.store.put(resource, body)

    def delete(self, resource: str, namespace: str, name: str) -> None:
        self.store.delete(resource, namespace, name)

    def misbehave(self, *faults: Fault) -> None:
        """With the next requests that they concern, in this order."""
        self.faults.extend(faults)

    def interrupt(self, resource: str, how: str) -> None:
        """Streams that run now: 'end' (politely), 'cut' (within a line), 'garbage', 'bookmark', 'early bookmark' (of the store's
        version, though the stream began later), '410' (an ERROR event)."""
        with self.store.changed:
            self.interruptions.append((resource, how))
            self.store.changed.notify_all()

    def has_news(self, resource: str, version: int, seen: int) -> bool:
        changes = self.store.changes[resource]
        return bool(changes and changes[-1].version > version) or len(self.interruptions) > seen

    def take_fault(self, request: Request) -> Fault | None:
        for fault in self.faults:
            if fault.concerns(request):
                fault.times -= 1
                return fault
        return None

    def asked(self, resource: str, verb: str = "") -> list[Request]:
        return [one for one in self.requests if one.resource == resource and verb in ("", one.verb)]

    def watching(self, resource: str) -> bool:
        """Whether a stream of that resource runs now."""
        return any(one.status == 200 and not one.ended for one in self.asked(resource, "watch"))

    @property
    def kubeconfig(self) -> Path:
        """A file with a token; it is written anew at each call."""
        path = self.folder / "kubeconfig"
        path.write_text(json.dumps(self.kubeconfig_with({"token": next(iter(self.tokens), "")})))
        return path

    def kubeconfig_with(self, user: dict[str, Any]) -> dict[str, Any]:
        """JSON is YAML too. user: of the format's `users[].user`."""
        cluster = {"server": self.address, "certificate-authority": str(self.certificates.authority)}
        return {
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "double", "cluster": cluster}], "users": [{"name": "honeyguide", "user": user}],
            "contexts": [{"name": "test", "context": {"cluster": "double", "user": "honeyguide"}}],
        }  # fmt: skip

    def service_account(self, token: str = "first-token") -> Path:
        """The folder that Kubernetes mounts into pods."""
        folder = self.folder / "serviceaccount"
        folder.mkdir(exist_ok=True)
        (folder / "token").write_text(token)
        (folder / "namespace").write_text("honeyguide")
        (folder / "ca.crt").write_bytes(self.certificates.authority.read_bytes())
        return folder


@contextmanager
def api_server_double(folder: Path, certificates: Certificates | None = None) -> Iterator[ApiServerDouble]:
    """Running on a free port of 127.0.0.1; its files lie in `folder`. certificates: made before, to save that time."""
    certificates = certificates or make_certificates(folder / "certificates")
    cluster = ApiServerDouble(folder, certificates)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.server, certificates.server_key)
    context.load_verify_locations(certificates.authority)
    context.verify_mode = ssl.CERT_OPTIONAL
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("BoundHandler", (Handler,), {"cluster": cluster}))
    server.daemon_threads, server.block_on_close = True, False
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    cluster.address = f"https://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=[0.01])
    thread.start()
    try:
        yield cluster
    finally:
        cluster.ended.set()
        server.shutdown()
        thread.join()
        server.server_close()
