"""Who we say we are and whom we trust: service accounts, tokens that rotate, kubeconfigs with certificates and plug-ins."""

from __future__ import annotations

import base64
import json
import stat
from pathlib import Path
from typing import Any

import pytest
from api_server_double import ApiServerDouble
from cluster_objects import pod
from cluster_sink import access_of, watching
from otlp_receiver import wait_for
from throwaway_certificates import make_certificates

from collector.cluster_status import WatchState
from collector.errors import SettingsError
from collector.kubernetes.access import ApiAccess, in_cluster
from collector.kubernetes.kubeconfig import read_kubeconfig


def access_by(cluster: ApiServerDouble, user: dict[str, Any], **more: Any) -> ApiAccess:
    """By a kubeconfig with that user; more: of its cluster."""
    content = cluster.kubeconfig_with(user)
    content["clusters"][0]["cluster"] |= {name.replace("_", "-"): value for name, value in more.items()}
    path = cluster.folder / "config"
    path.write_text(json.dumps(content))
    return read_kubeconfig(path)


def test_a_rotated_token_is_read_again_when_the_old_one_is_refused(cluster: ApiServerDouble) -> None:
    with watching(cluster) as watched:
        wait_for(watched.synced)
        cluster.tokens = {"second-token"}
        (cluster.folder / "serviceaccount/token").write_text("second-token\n")
        cluster.interrupt("pods", "end")
        wait_for(lambda: cluster.asked("pods")[-1].bearer == "second-token")
        cluster.put("pods", pod("news"))
        wait_for(lambda: watched.sink.named("news"))
        assert watched.status().requests["unauthenticated"] == 1


def test_a_rotated_token_is_read_again_before_the_old_one_expires(
    cluster: ApiServerDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collector.kubernetes.credentials.READ_AGAIN_SECONDS", 0.0)
    with watching(cluster) as watched:
        wait_for(watched.synced)
        cluster.tokens = {"first-token", "second-token"}
        (cluster.folder / "serviceaccount/token").write_text("second-token")
        cluster.interrupt("pods", "end")
        wait_for(lambda: cluster.asked("pods")[-1].bearer == "second-token")
        assert "unauthenticated" not in watched.status().requests


def test_a_token_that_stays_refused_is_told_with_its_remedy(cluster: ApiServerDouble) -> None:
    cluster.tokens = {"another"}
    with watching(cluster) as watched:
        wait_for(lambda: watched.status().state is WatchState.REFUSED)
        assert "401" in watched.status().cause
        assert "service account" in watched.status().remedy


def test_a_server_of_another_authority_gets_no_token(cluster: ApiServerDouble, tmp_path: Path) -> None:
    access = access_of(cluster)
    stranger = make_certificates(tmp_path / "stranger")
    (cluster.folder / "serviceaccount/ca.crt").write_bytes(stranger.authority.read_bytes())
    with watching(cluster, access=access) as watched:
        wait_for(lambda: watched.status().requests.get("tls"))
        assert "certificate" in watched.status().cause
        assert "authority" in watched.status().remedy
        assert cluster.requests == []
        (cluster.folder / "serviceaccount/ca.crt").write_bytes(cluster.certificates.authority.read_bytes())
        wait_for(watched.synced)


def test_a_server_by_another_name_is_not_trusted(cluster: ApiServerDouble) -> None:
    access = access_by(cluster, {"token": "first-token"}, tls_server_name="elsewhere.example")
    with watching(cluster, access=access) as watched:
        wait_for(lambda: watched.status().requests.get("tls"))
        assert cluster.requests == []
    with watching(cluster, access=access_by(cluster, {"token": "first-token"}, tls_server_name="localhost")) as watched:
        wait_for(watched.synced)


def test_a_port_where_nobody_listens_is_told(cluster: ApiServerDouble) -> None:
    access = access_by(cluster, {"token": "first-token"}, server="https://127.0.0.1:9")
    with watching(cluster, access=access) as watched:
        wait_for(lambda: watched.status().requests.get("unreachable"))
        assert "cannot be reached" in watched.status().cause
        assert "NetworkPolicy" in watched.status().remedy


def test_outside_of_a_pod_there_is_no_service_account(tmp_path: Path) -> None:
    assert in_cluster({}, tmp_path) is None
    assert in_cluster({"KUBERNETES_SERVICE_HOST": "10.96.0.1"}, tmp_path) is None


def test_a_service_account_without_the_authority_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("x")
    with pytest.raises(SettingsError, match=r"ca\.crt is missing"):
        in_cluster({"KUBERNETES_SERVICE_HOST": "10.96.0.1"}, tmp_path)


def test_an_address_of_ipv6_gets_its_brackets(cluster: ApiServerDouble) -> None:
    access = in_cluster({"KUBERNETES_SERVICE_HOST": "fd00::1"}, cluster.service_account())
    assert access is not None
    assert access.server == "https://[fd00::1]:443"


@pytest.mark.parametrize("inline", [False, True])
def test_a_client_certificate_of_a_kubeconfig_says_who_we_are(cluster: ApiServerDouble, inline: bool) -> None:
    made = cluster.certificates
    files = {"client-certificate": made.client, "client-key": made.client_key}
    user: dict[str, Any] = {name: str(path) for name, path in files.items()}
    if inline:
        user = {f"{name}-data": base64.b64encode(path.read_bytes()).decode() for name, path in files.items()}
    with watching(cluster, access=access_by(cluster, user)) as watched:
        wait_for(watched.synced)
        assert {(one.subject, one.bearer) for one in cluster.requests} == {("system:nodes,honeyguide", "")}


NO_CREDENTIAL = "no ExecCredential"


def test_a_client_certificate_that_is_refused_is_read_again(cluster: ApiServerDouble, tmp_path: Path) -> None:
    stranger, files = make_certificates(tmp_path / "stranger"), (tmp_path / "mine.crt", tmp_path / "mine.key")
    for path, source in zip(files, (stranger.client, stranger.client_key), strict=True):
        path.write_bytes(source.read_bytes())
    user = {"client-certificate": str(files[0]), "client-key": str(files[1])}
    with watching(cluster, access=access_by(cluster, user)) as watched:
        wait_for(lambda: watched.status().requests.get("tls"))
        for path, source in zip(files, (cluster.certificates.client, cluster.certificates.client_key), strict=True):
            path.write_bytes(source.read_bytes())
        wait_for(watched.synced)


def write_plugin(folder: Path, text: str) -> str:
    path = folder / "plug-in"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return "./plug-in"


def test_a_plug_in_gives_the_token_and_is_run_again_when_that_is_refused(cluster: ApiServerDouble) -> None:
    printed = {"kind": "ExecCredential", "apiVersion": "client.authentication.k8s.io/v1", "status": {"token": "$TOKEN_NOW"}}
    command = write_plugin(cluster.folder, f'TOKEN_NOW=$(cat "$1/now"); cat <<END\n{json.dumps(printed)}\nEND')
    (cluster.folder / "now").write_text("first-token")
    plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": command, "args": [str(cluster.folder)]}
    with watching(cluster, access=access_by(cluster, {"exec": plugin})) as watched:
        wait_for(watched.synced)
        cluster.tokens = {"second-token"}
        (cluster.folder / "now").write_text("second-token")
        cluster.interrupt("pods", "end")
        wait_for(lambda: cluster.asked("pods")[-1].bearer == "second-token")
        cluster.put("pods", pod("news"))
        wait_for(lambda: watched.sink.named("news"))


@pytest.mark.parametrize(
    ("script", "told"),
    [("exit 3", "status 3"), ("echo no", NO_CREDENTIAL), ("echo '{\"status\": 4}'", NO_CREDENTIAL)],
)
def test_a_plug_in_that_fails_is_told_without_what_it_printed(cluster: ApiServerDouble, script: str, told: str) -> None:
    plugin = {"command": write_plugin(cluster.folder, script)}
    with watching(cluster, access=access_by(cluster, {"exec": plugin})) as watched:
        wait_for(lambda: watched.status().state is WatchState.REFUSED)
        assert told in watched.status().cause


def test_a_plug_in_that_hangs_does_not_keep_the_agent_from_ending(cluster: ApiServerDouble) -> None:
    command = write_plugin(cluster.folder, 'touch "$0.began"; exec sleep 60')
    with watching(cluster, access=access_by(cluster, {"exec": {"command": command}})):
        wait_for((cluster.folder / "plug-in.began").exists)


@pytest.mark.parametrize(
    ("user", "told"),
    [
        ({"auth-provider": {"name": "gcp"}}, "auth-provider is not supported"),
        ({"username": "x", "password": "y"}, "username is not supported"),
        ({"client-certificate-data": "%%%"}, "certificates cannot be used"),
        ({"client-certificate": "nowhere.pem"}, "certificates cannot be used"),
    ],
)
def test_what_a_kubeconfig_asks_for_in_vain_is_said_at_once(cluster: ApiServerDouble, user: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        access_by(cluster, user)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (": :", "not YAML"),
        ("[]", "no kubeconfig"),
        ("current-context: x", "no context 'x'"),
        ("current-context: x\ncontexts: [{name: x, context: {cluster: y}}]", "no cluster 'y'"),
    ],
)
def test_a_damaged_kubeconfig_is_said_at_once(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(SettingsError, match=told):
        read_kubeconfig(path)


def test_a_kubeconfig_that_is_not_there_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        read_kubeconfig(tmp_path / "nothing")


def test_a_server_without_tls_is_refused(cluster: ApiServerDouble) -> None:
    with pytest.raises(SettingsError, match="no https"):
        access_by(cluster, {"token": "t"}, server="http://127.0.0.1:8080")
