"""nginx that counts what it answers in its own log, and curl that asks it."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ports import free_port, wait_for_port

NGINX = "/usr/sbin/nginx"
CONFIGURATION = """
user root; daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
    log_format truth '$uri $status $body_bytes_sent $request_time'; access_log {folder}/access.log truth;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location /things {{ return 200 "a thing"; }}
        location /broken {{ return 503; }}
    }}
}}
"""


@dataclass(frozen=True, slots=True)
class CountedServer:
    folder: Path
    port: int

    def be_asked(self, things: int, broken: int) -> None:
        """Over one connection, one after another."""
        address = f"http://127.0.0.1:{self.port}"
        addresses = [f"{address}/things"] * things + [f"{address}/broken"] * broken
        subprocess.run(["curl", "-s", "-o", "/dev/null", *addresses], check=True, stdout=subprocess.DEVNULL)

    def counts(self) -> Counter[tuple[str, str]]:
        """(path, status) -> answers, by its own log."""
        log = self.folder / "access.log"
        return Counter((line.split()[0], line.split()[1]) for line in log.read_text().splitlines())


@contextmanager
def counted_server(folder: Path) -> Iterator[CountedServer]:
    server = CountedServer(folder, free_port())
    (folder / "nginx.conf").write_text(CONFIGURATION.format(folder=folder, port=server.port))
    process = subprocess.Popen([NGINX, "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")])
    try:
        wait_for_port(server.port)
        yield server
    finally:
        process.terminate()
        process.wait()
