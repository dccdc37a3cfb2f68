"""The API server double, and the folder it lies in."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from api_server_double import ApiServerDouble, api_server_double
from throwaway_certificates import Certificates, make_certificates


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def cluster(tmp_path: Path, certificates: Certificates) -> Iterator[ApiServerDouble]:
    with api_server_double(tmp_path, certificates) as running:
        yield running
