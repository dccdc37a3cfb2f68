"""Where the API server is, how to know it is the right one, and who we are: from a pod's service account or a kubeconfig."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from collector.errors import SettingsError
from collector.kubernetes.credentials import Credentials, TokenFile

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True, slots=True)
class ApiAccess:
    """make_tls: a new context from what the files say now (authorities and client certificates are renewed, too).

    server_name: the name in the server's certificate where it is not the host of `server`. origin: for messages.
    """

    server: str
    make_tls: Callable[[], ssl.SSLContext]
    credentials: Credentials
    origin: str
    server_name: str = ""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """authority: PEM; '' for those the system trusts. certificate, key: PEM of the client, b'' for none."""

    authority: str = ""
    certificate: bytes = b""
    key: bytes = b""
    verify: bool = True

    def context(self) -> ssl.SSLContext:
        """ssl.SSLError or OSError when the PEM cannot be used."""
        context = ssl.create_default_context(cadata=self.authority or None)
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.certificate:
            with ExitStack() as stack:
                context.load_cert_chain(_as_file(self.certificate, stack), _as_file(self.key, stack))
        return context


def _as_file(content: bytes, stack: ExitStack) -> str:
    """OpenSSL reads files only; this one is in memory, so that no key ever lies on a disk."""
    descriptor = os.memfd_create("client", os.MFD_CLOEXEC)
    stack.callback(os.close, descriptor)
    os.write(descriptor, content)
    return f"/proc/self/fd/{descriptor}"


def in_cluster(environ: Mapping[str, str], folder: Path = SERVICE_ACCOUNT) -> ApiAccess | None:
    """Of the service account that Kubernetes gave this pod; None where there is none."""
    host, port = environ.get("KUBERNETES_SERVICE_HOST", ""), environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host or not (folder / "token").exists():
        return None
    authority = folder / "ca.crt"
    if not authority.exists():
        raise SettingsError(f"{authority} is missing.", "Without it nobody knows whether the API server is the right one.")

    def make_tls() -> ssl.SSLContext:
        return TlsFiles(authority.read_text(encoding="ascii")).context()

    address = f"[{host}]" if ":" in host else host
    return ApiAccess(f"https://{address}:{port}", make_tls, TokenFile(folder / "token"), "the service account")
