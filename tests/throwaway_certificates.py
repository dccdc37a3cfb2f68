"""A certificate authority that lives as long as a temporary folder, a server's and a client's certificate. Made by openssl."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Certificates:
    """PEM files. The client's subject is CN=honeyguide."""

    authority: Path
    server: Path
    server_key: Path
    client: Path
    client_key: Path


def make_certificates(folder: Path, server_names: str = "IP:127.0.0.1,DNS:localhost") -> Certificates:
    """Needs the openssl program; CalledProcessError says what it did not like."""
    folder.mkdir(parents=True, exist_ok=True)
    authority, key = folder / "ca.crt", folder / "ca.key"
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    extensions = ["-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign"]
    _openssl("req", "-x509", *curve, "-keyout", key, "-out", authority, "-subj", "/CN=throw-away authority", *extensions)
    for name, subject in (("server", "/CN=kube-apiserver"), ("client", "/O=system:nodes/CN=honeyguide")):
        request, names = folder / f"{name}.csr", folder / f"{name}.ext"
        names.write_text(f"subjectAltName={server_names}\n" if name == "server" else "extendedKeyUsage=clientAuth\n")
        _openssl("req", *curve, "-keyout", folder / f"{name}.key", "-out", request, "-subj", subject)
        signed_by = ["-CA", authority, "-CAkey", key, "-CAcreateserial"]
        _openssl("x509", "-req", "-in", request, *signed_by, "-days", "2", "-extfile", names, "-out", folder / f"{name}.crt")
    return Certificates(authority, *(folder / f"{name}.{kind}" for name in ("server", "client") for kind in ("crt", "key")))


def _openssl(*words: object) -> None:
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)
