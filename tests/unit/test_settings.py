"""Settings: order of sources, ranges, messages, secrets, and the page that lists them."""

from __future__ import annotations

import argparse
import ipaddress
import json
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from collector.errors import SettingsError
from collector.quantities import read_bytes, read_seconds, show_bytes, show_seconds
from collector.settings import Settings, describe_allowed, show_default
from collector.settings_flags import add_settings_flags
from collector.settings_for_clickhouse import clickhouse_settings
from collector.settings_report import write_json, write_page, write_table
from collector.settings_sources import LoadedSettings, load_settings

ROOT = Path(__file__).parents[2]
NO_FILE = Path("/nonexistent/honeyguide.toml")


def load(*flags: str, file: str | Path = NO_FILE, **environment: str) -> LoadedSettings:
    parser = argparse.ArgumentParser()
    add_settings_flags(parser)
    return load_settings(vars(parser.parse_args(flags)), environment, Path(file))


def refusal(*flags: str, file: str | Path = NO_FILE, **environment: str) -> str:
    with pytest.raises(SettingsError) as caught:
        load(*flags, file=file, **environment)
    return str(caught.value)


def written(folder: Path, text: str) -> Path:
    path = folder / "honeyguide.toml"
    path.write_text(text)
    return path


def test_nothing_given_leaves_the_defaults() -> None:
    assert load() == LoadedSettings(Settings(), {})


def test_later_sources_win_and_are_named(tmp_path: Path) -> None:
    file = written(tmp_path, "max_series = 100\nmax_workloads = 200\nmax_processes = 300\n")
    loaded = load("--max-processes", "333", file=file, HONEYGUIDE_MAX_WORKLOADS="222", HONEYGUIDE_MAX_PROCESSES="3333")
    assert (loaded.settings.max_series, loaded.settings.max_workloads, loaded.settings.max_processes) == (100, 222, 333)
    assert loaded.origins == {
        "max_series": str(file),
        "max_workloads": "HONEYGUIDE_MAX_WORKLOADS",
        "max_processes": "--max-processes",
    }


def test_the_file_is_named_by_flag_before_variable(tmp_path: Path) -> None:
    one, other = written(tmp_path, "max_series = 11"), tmp_path / "other.toml"
    other.write_text("max_series = 12")
    assert load("--config", str(one), HONEYGUIDE_CONFIG=str(other)).settings.max_series == 11
    assert load(HONEYGUIDE_CONFIG=str(other)).settings.max_series == 12


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--ring-bytes", "2MiB"], {"ring_bytes": 2 << 20}),
        (["--ring-bytes", "65536"], {"ring_bytes": 1 << 16}),
        (["--snapshot-interval", "500ms"], {"snapshot_interval": 0.5}),
        (["--snapshot-interval", "5m"], {"snapshot_interval": 300}),
        (["--probes", "tcp,udp", "--probes", "dns"], {"probes": ("tcp", "udp", "dns")}),
        (["--dns-ports", "53, 5353"], {"dns_ports": (53, 5353)}),
        (["--probe-path", "/a,/b"], {"probe_path": (Path("/a"), Path("/b"))}),
        (["--no-prometheus"], {"prometheus": False}),
        (["--program-statistics"], {"program_statistics": True}),
        (["--listen", "[::1]:80"], {"listen": "[::1]:80", "host": "::1", "port": 80, "loopback_only": True}),
        (["--listen", "localhost:0"], {"host": "localhost", "port": 0, "loopback_only": True}),
        (["--cidr", "office=10.1.2.3/16"], {"networks": (("office", ipaddress.ip_network("10.1.0.0/16")),)}),
    ],
)
def test_flag_is_understood(flags: list[str], expected: dict[str, object]) -> None:
    settings = load(*flags).settings
    assert {name: getattr(settings, name) for name in expected} == expected


def test_networks_may_be_a_table_in_the_file(tmp_path: Path) -> None:
    file = written(tmp_path, '[cidr]\noffice = "10.1.0.0/16"\nlab = ["192.0.2.0/24", "2001:db8::/32"]\n')
    assert load(file=file).settings.cidr == ("office=10.1.0.0/16", "lab=192.0.2.0/24", "lab=2001:db8::/32")


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--listen", "9464"),
        ("--listen", "localhost:65536"),
        ("--listen", "[::zz]:1"),
        ("--ring-bytes", "3MiB"),
        ("--ring-bytes", "32KiB"),
        ("--ring-bytes", "128MiB"),
        ("--ring-bytes", "one"),
        ("--ring-bytes", "inf"),
        ("--ring-bytes", "9" * 400),
        ("--snapshot-interval", "0.4"),
        ("--snapshot-interval", "5 weeks"),
        ("--snapshot-interval", "nan"),
        ("--drain-interval-max", "6s"),
        ("--max-series", "9"),
        ("--max-connections", "ten"),
        ("--transport", "pigeon"),
        ("--log-level", "loud"),
        ("--dns-ports", "0"),
        ("--dns-ports", ""),
        ("--dns-ports", "1,2,3,4,5,6,7,8,9"),
        ("--probes", "../etc"),
        ("--cidr", "office"),
        ("--cidr", "office=10.1.0.0/40"),
        ("--otlp-endpoint", "collector:4318"),
    ],
)
def test_wrong_value_is_refused_with_name_value_source_and_range(flag: str, value: str) -> None:
    name = flag[2:].replace("-", "_")
    message = refusal(flag, value)
    assert message.startswith(f"{name} = ")
    assert value in message
    assert f"from {flag}" in message
    assert describe_allowed(name) in message
    assert show_default(name) in message


def test_every_wrong_value_is_told_at_once() -> None:
    message = refusal("--max-series", "1", HONEYGUIDE_RING_BYTES="5")
    assert "max_series = '1' (from --max-series)" in message
    assert "ring_bytes = '5' (from HONEYGUIDE_RING_BYTES)" in message


def test_unknown_option_is_refused_with_the_likely_one(tmp_path: Path) -> None:
    assert "Did you mean HONEYGUIDE_RING_BYTES?" in refusal(HONEYGUIDE_RING_BYTE="1")
    message = refusal(file=written(tmp_path, "max_serie = 3"))
    assert "max_serie " in message
    assert str(tmp_path) in message
    assert "Did you mean max_series?" in message


@pytest.mark.parametrize("text", ["= 3", "max_series = 3\nmax_series = 4", "\xff"])
def test_file_that_is_not_toml_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "honeyguide.toml"
    path.write_bytes(text.encode("latin-1"))
    assert f"{path} is not TOML" in refusal(file=path)


def test_named_file_that_is_missing_or_unreadable_is_refused(tmp_path: Path) -> None:
    assert "does not exist" in refusal("--config", str(tmp_path / "none"))
    assert "cannot be read" in refusal("--config", str(tmp_path))


def test_variables_that_kubernetes_makes_for_a_service_of_our_name_are_ignored() -> None:
    links = {
        "HONEYGUIDE_SERVICE_HOST": "10.0.0.1",
        "HONEYGUIDE_SERVICE_PORT": "9464",
        "HONEYGUIDE_SERVICE_PORT_METRICS": "9464",
        "HONEYGUIDE_PORT": "tcp://10.0.0.1:9464",
        "HONEYGUIDE_PORT_9464_TCP_ADDR": "10.0.0.1",
    }
    assert load(**links) == load()


def test_empty_variable_counts_as_not_set() -> None:
    assert load(HONEYGUIDE_MAX_SERIES="") == load()


def test_other_machines_need_a_token_or_an_explicit_opt_out(tmp_path: Path) -> None:
    open_to_all = ["--listen", "0.0.0.0:9464"]
    assert "there is no token" in refusal(*open_to_all)
    assert "allow_unauthenticated" in refusal(*open_to_all)
    (tmp_path / "token").write_text("from-the-file\nsecond line\n")
    token = load(*open_to_all, "--token-file", str(tmp_path / "token")).settings.token
    assert token is not None
    assert token.get_secret_value() == "from-the-file"
    assert load(*open_to_all, "--allow-unauthenticated").settings.token is None
    assert load(*open_to_all, HONEYGUIDE_TOKEN="long-enough").settings.token is not None


def test_token_file_without_a_token_is_refused(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("")
    assert "is no token" in refusal("--token-file", str(tmp_path / "token"))
    assert "cannot be read" in refusal("--token-file", str(tmp_path / "none"))
    assert "both given" in refusal("--token-file", str(tmp_path / "token"), HONEYGUIDE_TOKEN="long-enough")


def test_secrets_are_never_printed() -> None:
    secret = "correct-horse-battery"
    loaded = load(HONEYGUIDE_TOKEN=secret)
    for text in (write_table(loaded), write_json(loaded), repr(loaded), refusal(HONEYGUIDE_TOKEN=f"{secret} spaced")):
        assert secret not in text
        assert "****" in text
    assert "--token " not in write_page()


def test_password_of_the_database_is_never_printed_wherever_it_was_put(tmp_path: Path) -> None:
    secret = "correct-horse-battery"
    (tmp_path / "password").write_text(f"{secret}\n")
    from_file = load(HONEYGUIDE_CLICKHOUSE_PASSWORD_FILE=str(tmp_path / "password"))
    assert from_file.settings.clickhouse_password is not None
    assert from_file.settings.clickhouse_password.get_secret_value() == secret
    for loaded in (from_file, load(HONEYGUIDE_CLICKHOUSE_PASSWORD=secret)):
        for text in (write_table(loaded), write_json(loaded), repr(loaded), repr(clickhouse_settings(loaded.settings))):
            assert secret not in text
    for address in (f"http://agent:{secret}@db:8123", f"http://db:8123/?user=agent&password={secret}"):
        message = refusal("--clickhouse-url", address)
        assert secret not in message
        assert "clickhouse_url" in message
    assert secret not in refusal(HONEYGUIDE_CLICKHOUSE_PASSWORD=f"{secret}\t!")
    assert "--clickhouse-password " not in write_page()
    assert "both given" in refusal("--clickhouse-password-file", str(tmp_path / "password"), HONEYGUIDE_CLICKHOUSE_PASSWORD="x")


def test_addresses_are_printed_without_their_credentials() -> None:
    loaded = load("--otlp-endpoint", "http://me:correct-horse@collector:4318/v1")
    for text in (write_table(loaded), write_json(loaded)):
        assert "correct-horse" not in text
        assert "collector:4318/v1" in text
    assert loaded.settings.otlp_endpoint == "http://me:correct-horse@collector:4318/v1"


def test_effective_settings_are_printed_with_their_source() -> None:
    loaded = load("--ring-bytes", "2MiB")
    assert ["ring_bytes", "2", "MiB", "--ring-bytes"] in [line.split() for line in write_table(loaded).splitlines()]
    assert json.loads(write_json(loaded))["ring_bytes"] == {"value": 2 << 20, "source": "--ring-bytes"}
    assert json.loads(write_json(loaded)).keys() == Settings.model_fields.keys()


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError):
        Settings().listen = "127.0.0.1:1"  # type: ignore[misc]


def test_page_is_in_step_with_the_model() -> None:
    assert (ROOT / "docs" / "settings.md").read_text() == write_page(), "run: honeyguide settings --page > docs/settings.md"


@given(st.integers(1, 1 << 40))
def test_shown_bytes_read_back(count: int) -> None:
    assert read_bytes(show_bytes(count).removesuffix(" bytes")) == count


@given(st.integers(0, 10_000_000))
def test_shown_seconds_read_back(milliseconds: int) -> None:
    seconds = milliseconds / 1000
    assert read_seconds(show_seconds(seconds)) == pytest.approx(seconds, rel=1e-5)


@example(float("inf"))
@example(float("nan"))
@example(10**400)
@given(st.text() | st.integers() | st.floats() | st.none() | st.booleans() | st.lists(st.text()))
def test_no_value_crashes_an_option(value: object) -> None:
    for name in Settings.model_fields:
        try:
            load_settings({name: value}, {}, NO_FILE)
        except SettingsError as error:
            assert error.cause
