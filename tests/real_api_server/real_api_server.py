"""Real API servers with their etcd, on loopback, that can be stopped and started again; `./test real_api_server` compiles them.

kube-apiserver 1.20 is whole: TLS, RBAC, service account tokens. The library server (library_server/) lists and watches with the
code of Kubernetes 1.36; it has no RBAC, and tokens from a file.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from throwaway_certificates import Certificates, make_certificates

START_SECONDS = 90
ADMIN_TOKEN, ACCOUNT_TOKEN = "admin-of-a-test", "honeyguide-of-a-test"
ACCOUNT = "system:serviceaccount:honeyguide:honeyguide"
ISSUER = "https://kubernetes.default.svc"
Process = subprocess.Popen[bytes]


@dataclass(frozen=True)
class Program:
    """variable: of the environment, says where it lies, or where the folder lies in which it has that name.
    whole: with Kubernetes' rules for objects, RBAC and service accounts.
    """

    variable: str
    whole: bool
    name: str = ""

    @property
    def path(self) -> str:
        place = os.environ.get(self.variable, "")
        return f"{place}/{self.name}" if place and self.name else place

    def etcd(self, name: str = "etcd") -> str:
        """The program of that name which belongs to it: newer servers want a newer etcd."""
        beside = Path(self.path).parent / name
        return str(beside) if not self.whole and beside.is_file() else name

    def why_not(self) -> str:
        """'' where the tests can run."""
        if not self.path:
            return "needs real API servers: ./test real_api_server compiles them (10 to 30 minutes each, once) and runs these"
        needed = (self.path, self.etcd(), self.etcd("etcdctl"), "kubectl", "openssl")
        missing = [name for name in needed if shutil.which(name) is None]
        return f"missing: {', '.join(missing)}" if missing else ""


KUBE_APISERVER = Program("REAL_API_SERVER", whole=True)
LIBRARY_SERVER = Program("LIBRARY_SERVER", whole=False)


@dataclass
class RealApiServer:
    """ports: the API server's, etcd's for clients, etcd's for peers. options: more of the server's, or other values.
    users: lines of its file of tokens, beside the administrator's.
    """

    program: Program
    folder: Path
    certificates: Certificates
    ports: Sequence[int]
    options: Mapping[str, object] = field(default_factory=dict)
    users: Sequence[str] = ()
    processes: dict[str, Process] = field(default_factory=dict)

    @property
    def address(self) -> str:
        return f"https://127.0.0.1:{self.ports[0]}"

    @property
    def service_account_key(self) -> Path:
        return self.folder / "service-account.key"

    def start(self) -> None:
        """Returns when it is ready."""
        self._run("kube-apiserver", [self.program.path, *self._options()])
        deadline = time.monotonic() + START_SECONDS
        while not self._is_ready():
            assert self.processes["kube-apiserver"].poll() is None and time.monotonic() < deadline, self._said("kube-apiserver")
            time.sleep(0.1)

    def start_etcd(self) -> None:
        client, peer = (f"http://127.0.0.1:{port}" for port in self.ports[1:])
        options = {
            "--data-dir": self.folder / "etcd", "--listen-client-urls": client, "--advertise-client-urls": client,
            "--listen-peer-urls": peer, "--initial-advertise-peer-urls": peer, "--initial-cluster": f"default={peer}",
            "--unsafe-no-fsync": "true",
        }  # fmt: skip
        self._run("etcd", [self.program.etcd(), *(f"{name}={value}" for name, value in options.items())])

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """The API server alone; etcd keeps what there is."""
        self._end("kube-apiserver", how)

    def save_etcd(self) -> None:
        self._ask_etcd("snapshot", "save", str(self.folder / "snapshot"))

    def restore_etcd(self) -> None:
        """To what it was when it was saved, the versions too. The API server must be stopped."""
        self._end("etcd", signal.SIGKILL)
        shutil.rmtree(self.folder / "etcd")
        peer = f"http://127.0.0.1:{self.ports[2]}"
        options = {
            "--data-dir": self.folder / "etcd",
            "--initial-cluster": f"default={peer}",
            "--initial-advertise-peer-urls": peer,
        }
        self._ask_etcd(
            "snapshot", "restore", str(self.folder / "snapshot"), *(f"{name}={value}" for name, value in options.items())
        )
        self.start_etcd()

    def _ask_etcd(self, *words: str) -> None:
        command = [self.program.etcd("etcdctl"), f"--endpoints=http://127.0.0.1:{self.ports[1]}", *words]
        done = subprocess.run(
            command, env={**os.environ, "ETCDCTL_API": "3"}, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"

    def close(self) -> None:
        for name in list(self.processes):
            self._end(name, signal.SIGKILL)

    def compact(self) -> None:
        """etcd forgets all versions but those that are."""
        answer = httpx.post(f"http://127.0.0.1:{self.ports[1]}/v3/kv/range", json={"key": "AA=="}, timeout=10)
        revision = answer.json()["header"]["revision"]
        answer = httpx.post(
            f"http://127.0.0.1:{self.ports[1]}/v3/kv/compaction", json={"revision": revision, "physical": True}, timeout=30
        )
        answer.raise_for_status()

    def _options(self) -> list[str]:
        tokens = self.folder / "tokens.csv"
        known = (f"{ADMIN_TOKEN},admin,1,system:masters", f"{ACCOUNT_TOKEN},{ACCOUNT},2", *self.users)
        tokens.write_text("\n".join(known))
        made, key = self.certificates, self.service_account_key
        of_both = {
            "etcd-servers": f"http://127.0.0.1:{self.ports[1]}", "secure-port": self.ports[0], "token-auth-file": tokens,
            "tls-cert-file": made.server, "tls-private-key-file": made.server_key,
        }  # fmt: skip
        of_the_whole = {
            "bind-address": "127.0.0.1", "advertise-address": "192.0.2.1",
            "service-cluster-ip-range": "10.96.0.0/12", "authorization-mode": "RBAC",
            "service-account-issuer": ISSUER, "service-account-key-file": key, "service-account-signing-key-file": key,
            "cert-dir": self.folder, "allow-privileged": "true", "endpoint-reconciler-type": "none",
            "audit-log-path": self.folder / "audit.log", "audit-policy-file": self._audit_policy(),
            "audit-log-mode": "blocking",
        }  # fmt: skip
        chosen = of_both | (of_the_whole if self.program.whole else {}) | dict(self.options)
        return [f"--{name}={value}" for name, value in chosen.items()]

    def _audit_policy(self) -> Path:
        path = self.folder / "audit-policy.yaml"
        path.write_text("apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [ResponseStarted]\nrules: [{level: Metadata}]\n")
        return path

    def _is_ready(self) -> bool:
        headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
        try:
            return httpx.get(f"{self.address}/readyz", verify=False, timeout=5, headers=headers).status_code == 200
        except httpx.TransportError:
            return False

    def _run(self, name: str, command: Sequence[str]) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log)

    def _end(self, name: str, how: signal.Signals) -> None:
        process = self.processes.pop(name, None)
        if process is not None:
            process.send_signal(how)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _said(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()[-3000:]


@contextmanager
def real_api_server(folder: Path, program: Program = KUBE_APISERVER) -> Iterator[RealApiServer]:
    """Running; both processes are gone at the end."""
    with ExitStack() as stack:
        ports = [stack.enter_context(closing(socket.create_server(("127.0.0.1", 0)))).getsockname()[1] for _ in range(3)]
    server = RealApiServer(program, folder, make_certificates(folder / "certificates"), ports)
    subprocess.run(["openssl", "genrsa", "-out", str(server.service_account_key), "2048"], check=True, capture_output=True)
    try:
        server.start_etcd()
        server.start()
        yield server
    finally:
        server.close()
