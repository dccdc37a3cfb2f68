"""The command line: help, statuses, messages, and that nothing is imported before it is needed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from collector.__main__ import COMMANDS, main
from collector.errors import SettingsError

ROOT = Path(__file__).parents[2]
HEAVY = {"rich", "httpx", "fastapi", "numpy", "opentelemetry", "bcc", "uvicorn"}


@dataclass(frozen=True)
class Outcome:
    status: int
    out: str
    err: str


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """The command line within this process: words -> status and what was printed."""
    monkeypatch.setenv("COLUMNS", "80")

    def run(*words: str, **environment: str) -> Outcome:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        try:
            status = main(words)
        except SystemExit as ended:
            status = int(ended.code or 0)
        return Outcome(status, *capsys.readouterr())

    return run


def run_python(script: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", script]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)


@pytest.mark.parametrize("words", [["--help"], *([command.name, "--help"] for command in COMMANDS)], ids=" ".join)
def test_help_reads_well_at_eighty_columns(words: list[str], call: Callable[..., Outcome]) -> None:
    done = call(*words)
    assert (done.status, done.err) == (0, "")
    assert [line for line in done.out.splitlines() if len(line) > 80] == []
    assert done.out.startswith("usage: honeyguide")
    assert "example" in done.out


def test_general_help_lists_every_command_and_exit_status(call: Callable[..., Outcome]) -> None:
    text = call("--help").out
    assert all(f"  {command.name} " in text for command in COMMANDS)
    assert all(f"\n  {status}  " in text for status in range(4))


def test_help_imports_nothing_heavy() -> None:
    done = run_python(
        "import sys; from collector.__main__ import main\ntry: main(['--help'])\nexcept SystemExit: print(*sys.modules)"
    )
    assert (HEAVY | {"pydantic"}).isdisjoint(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("name", ["run", "record", "replay"])
def test_commands_of_the_agent_import_no_terminal_library(name: str) -> None:
    command = next(command for command in COMMANDS if command.name == name)
    done = run_python(f"import sys, collector.agent, {command.module}; print(*sys.modules)")
    assert {"rich", "httpx"}.isdisjoint(done.stdout.split())


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "usage: honeyguide"),
        (["fly"], "there is no command 'fly'"),
        (["floows"], "did you mean flows?"),
        (["--loud"], "--loud"),
        (["record"], "-o/--output"),
        (["record", "-o", "x", "--seconds", "0"], "100 ms and 24 h"),
        (["replay"], "FILE"),
        (["run", "--max-seri", "20"], "--max-seri"),
        (["run", "--max-series", "1"], "Allowed: 10 to 100000"),
        (["doctor", "--config", "/nonexistent.toml"], "/nonexistent.toml"),
    ],
)
def test_wrong_usage_ends_with_two_and_says_why(words: list[str], says: str, call: Callable[..., Outcome]) -> None:
    done = call(*words)
    assert done.status == 2
    assert says in done.err


def test_error_of_ours_is_one_message_with_its_remedy(tmp_path: Path) -> None:
    (tmp_path / "broken").write_bytes(b"no recording")
    command = [sys.executable, "-m", "collector", "replay", str(tmp_path / "broken")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("honeyguide: ")
    assert "Traceback" not in done.stderr


def test_what_a_user_may_not_do_ends_with_three(monkeypatch: pytest.MonkeyPatch, call: Callable[..., Outcome]) -> None:
    def refuse(_: object) -> int:
        raise PermissionError(13, "Permission denied", "/sys/fs/bpf")

    monkeypatch.setattr("collector.commands.version.run", refuse)
    done = call("version")
    assert done.status == 3
    assert "/sys/fs/bpf" in done.err
    assert "-> Run as root" in done.err


@pytest.mark.parametrize("words", [("--debug", "settings"), ("settings", "--debug")])
def test_debug_shows_the_traceback(words: tuple[str, ...]) -> None:
    with pytest.raises(SettingsError):
        main([*words, "--max-series", "1"])


def test_secret_from_the_environment_is_not_in_the_message(call: Callable[..., Outcome]) -> None:
    done = call("settings", HONEYGUIDE_TOKEN="top secret with spaces")
    assert done.status == 2
    assert "top secret" not in done.err


def test_reader_that_has_enough_is_no_error() -> None:
    script = f"set -o pipefail; {sys.executable} -m collector settings --page | head -c 10"
    done = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_version_is_printed(call: Callable[..., Outcome]) -> None:
    assert call("version").out.startswith("honeyguide ")
