"""A kubeconfig: the file that kubectl reads. Tokens, client certificates and exec plug-ins; what it cannot do it says."""

from __future__ import annotations

import base64
import binascii
import logging
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from collector.errors import SettingsError
from collector.kubernetes.access import ApiAccess, TlsFiles
from collector.kubernetes.credentials import Credentials, ExecPlugin, FixedToken, TokenFile

log = logging.getLogger(__name__)

_NOT_SUPPORTED = {
    "cluster": {"proxy-url": "reach the API server without a proxy"},
    "user": {
        "auth-provider": "use an exec plug-in; kubectl dropped auth-provider in 1.26, too",
        "username": "use a token or a client certificate; Kubernetes dropped passwords in 1.19",
    },
}
Section = Mapping[str, Any]


def read_kubeconfig(path: Path) -> ApiAccess:
    """Of its current context. SettingsError for whatever does not let it be used."""
    content = _load(path)
    context = _named(content, "contexts", "context", content.get("current-context", ""), path)
    cluster = _named(content, "clusters", "cluster", context.get("cluster", ""), path)
    user = _named(content, "users", "user", context.get("user", ""), path) if context.get("user") else {}
    for section, name in ((cluster, "cluster"), (user, "user")):
        for key, instead in _NOT_SUPPORTED[name].items():
            if section.get(key):
                raise SettingsError(f"{path}: {key} is not supported.", f"{instead[0].upper()}{instead[1:]}.")
    server = str(cluster.get("server", ""))
    if not server.startswith("https://"):
        raise SettingsError(f"{path}: the server {server!r} is no https:// address.")
    if cluster.get("insecure-skip-tls-verify"):
        log.warning("%s switches off the check of the API server's certificate", path)

    def make_tls() -> ssl.SSLContext:
        return _tls(cluster, user, path).context()

    try:
        make_tls()
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path}: its certificates cannot be used: {error}.") from None
    name = str(cluster.get("tls-server-name", ""))
    return ApiAccess(server.rstrip("/"), make_tls, _credentials(user, path), str(path), name)


def _load(path: Path) -> Section:
    import yaml  # type: ignore[import-untyped]  # noqa: PLC0415 -- in a pod nobody needs it

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"The kubeconfig {path} cannot be read: {error.strerror}.") from None
    except (yaml.YAMLError, ValueError):
        raise SettingsError(f"The kubeconfig {path} is not YAML.") from None
    if not isinstance(content, dict):
        raise SettingsError(f"{path} is no kubeconfig.")
    return content


def _named(content: Section, many: str, one: str, name: object, path: Path) -> Section:
    entries = content.get(many)
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict) and entry.get("name") == name and isinstance(entry.get(one), dict):
            found: Section = entry[one]
            return found
    raise SettingsError(f"{path} has no {one} {name!r}.", "kubectl config view shows what it has.")


def _tls(cluster: Section, user: Section, path: Path) -> TlsFiles:
    return TlsFiles(
        _content(cluster, "certificate-authority", path).decode("ascii"),
        _content(user, "client-certificate", path),
        _content(user, "client-key", path),
        not cluster.get("insecure-skip-tls-verify"),
    )


def _content(section: Section, key: str, path: Path) -> bytes:
    """Inline data win over a file, as with kubectl; paths are relative to the kubeconfig. b'' when neither is there."""
    if data := section.get(f"{key}-data"):
        try:
            return base64.b64decode(data, validate=True)
        except (binascii.Error, ValueError, TypeError):
            raise ValueError(f"{key}-data is not base64") from None
    return (path.parent / str(section[key])).read_bytes() if section.get(key) else b""


def _credentials(user: Section, path: Path) -> Credentials:
    if user.get("token"):
        return FixedToken(str(user["token"]))
    if user.get("tokenFile"):
        return TokenFile(path.parent / str(user["tokenFile"]))
    plugin = user.get("exec")
    if not isinstance(plugin, dict):
        return FixedToken()
    command = str(plugin.get("command", ""))
    if "/" in command:  # relative to the kubeconfig; a bare name is looked up in PATH
        command = str(path.parent / command)
    environment = {str(one["name"]): str(one["value"]) for one in plugin.get("env") or () if "name" in one and "value" in one}
    arguments = [command, *map(str, plugin.get("args") or ())]
    return ExecPlugin(arguments, environment, str(plugin.get("apiVersion", "client.authentication.k8s.io/v1")))
