"""The command line: help, statuses, messages, and that nothing is imported before it is needed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from collector.__main__ import COMMANDS, build_parser, main

ROOT = Path(__file__).parents[2]
HEAVY = {"rich", "httpx", "fastapi", "numpy", "opentelemetry", "bcc", "uvicorn"}


def call(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "collector", *words]
    return subprocess.run(
        command, cwd=ROOT, env={"COLUMNS": "80", **environment}, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("words", [["--help"], *([command.name, "--help"] for command in COMMANDS)], ids=" ".join)
def test_help_reads_well_at_eighty_columns(words: list[str]) -> None:
    done = call(*words)
    assert (done.returncode, done.stderr) == (0, "")
    assert [line for line in done.stdout.splitlines() if len(line) > 80] == []
    assert done.stdout.startswith("usage: honeyguide")
    assert "example" in done.stdout


def test_general_help_lists_every_command_and_exit_status(capsys: pytest.CaptureFixture[str]) -> None:
    build_parser().print_help()
    text = capsys.readouterr().out
    assert all(f"  {command.name} " in text for command in COMMANDS)
    assert all(f"\n  {status}  " in text for status in range(4))


def test_help_imports_nothing_heavy() -> None:
    script = "import sys; from collector.__main__ import main\ntry: main(['--help'])\nexcept SystemExit: print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert HEAVY.isdisjoint(done.stdout.splitlines()[-1].split())
    assert "pydantic" not in done.stdout.splitlines()[-1].split()


@pytest.mark.parametrize("name", ["run", "record", "replay"])
def test_commands_of_the_agent_import_no_terminal_library(name: str) -> None:
    command = next(command for command in COMMANDS if command.name == name)
    script = f"import sys, collector.agent, {command.module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
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
def test_wrong_usage_ends_with_two_and_says_why(words: list[str], says: str) -> None:
    done = call(*words)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_error_of_ours_is_one_message_with_its_remedy(tmp_path: Path) -> None:
    (tmp_path / "broken").write_bytes(b"no recording")
    done = call("replay", str(tmp_path / "broken"))
    assert done.returncode == 1
    assert done.stderr.startswith("honeyguide: ")
    assert "Traceback" not in done.stderr


def test_debug_shows_the_traceback() -> None:
    assert "Traceback" in call("--debug", "settings", "--max-series", "1").stderr
    assert "Traceback" in call("settings", "--debug", "--max-series", "1").stderr


def test_secret_from_the_environment_is_not_in_the_message() -> None:
    done = call("settings", HONEYGUIDE_TOKEN="top secret with spaces")
    assert done.returncode == 2
    assert "top secret" not in done.stderr


def test_reader_that_has_enough_is_no_error() -> None:
    script = f"set -o pipefail; {sys.executable} -m collector settings --page | head -c 10"
    done = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version"]) == 0
    assert capsys.readouterr().out.startswith("honeyguide ")
