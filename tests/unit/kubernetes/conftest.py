"""The API server double, and the folder it lies in."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from api_server_double import ApiServerDouble, api_server_double


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[ApiServerDouble]:
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    with api_server_double(tmp_path) as running:
        yield running
