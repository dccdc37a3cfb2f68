"""The page at / in a real browser: what the API knows is on it, and its policy lets its own script run."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = pytest.mark.skipif(BROWSER is None, reason="not installed: chromium")


@contextmanager
def replaying(recording: str, folder: Path) -> Iterator[str]:
    """The address at which a replay of that file is served."""
    command = [
        sys.executable,
        "-m",
        "collector",
        "replay",
        "--serve",
        "--listen",
        "127.0.0.1:0",
        str(ROOT / "tests/data" / recording),
    ]
    said = folder / "said"
    with said.open("w") as output, subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT) as agent:
        try:
            while not (found := re.search(r"http://127\.0\.0\.1:\d+", said.read_text())):
                assert agent.poll() is None, said.read_text()
            yield found[0]
        finally:
            agent.send_signal(signal.SIGTERM)


def read_page(address: str, folder: Path) -> str:
    """The page as the browser shows it after six of its own seconds."""
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}"]
    command = [str(BROWSER), *options, "--virtual-time-budget=6000", "--dump-dom", address]
    environment = {**os.environ, "HOME": str(folder)}
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=90, env=environment).stdout


def shown(page: str, card: str) -> str:
    found = re.search(rf'<b id="{card}"[^>]*>([^<]*)</b>', page)
    return found[1] if found else ""


def test_page_shows_the_map_of_a_recording(tmp_path: Path) -> None:
    with replaying("node.recording", tmp_path) as address:
        page = read_page(f"{address}/", tmp_path)
    assert shown(page, "state") == "ok"
    drawing = page[page.index("<svg") : page.index("</svg>")]
    assert "nginx.service" in drawing
    assert drawing.count('class="edge') >= 3
    assert 'class="edge failed"' in drawing
    assert re.search(r'd="M[^"]*L[^"]*L', drawing), "no edge goes around the nodes that stand between its ends"
    assert "tcp 8080" in page
    assert "GET /users/:id" in page


def test_page_shows_what_was_asked_in_a_capture(tmp_path: Path) -> None:
    with replaying("captures/http.pcap", tmp_path) as address:
        page = read_page(f"{address}/", tmp_path)
    assert "GET /items/:id" in page
    assert re.search(r'<td [^>]*class="number bad"[^>]*>50 %</td>', page)
    assert shown(page, "requests") == "13"
