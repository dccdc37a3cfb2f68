"""A real ClickHouse server for tests: Debian's, in a folder and on ports of its own; it can be stopped, killed, started again."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

PROGRAM = shutil.which("clickhouse-server", path="/usr/sbin:/usr/bin")
PASSWORD = "secret-of-test"
CONFIG = """<yandex>
 <logger><level>error</level><log>{folder}/server.log</log><errorlog>{folder}/errors.log</errorlog></logger>
 <http_port>{http}</http_port><tcp_port>{tcp}</tcp_port><listen_host>127.0.0.1</listen_host>
 <path>{folder}/data/</path><tmp_path>{folder}/tmp/</tmp_path><users_config>{folder}/users.xml</users_config>
 <default_profile>default</default_profile><default_database>default</default_database>
 <mark_cache_size>67108864</mark_cache_size><timezone>UTC</timezone>
</yandex>"""
USERS = """<yandex>
 <profiles><default>
  <allow_experimental_low_cardinality_type>1</allow_experimental_low_cardinality_type><max_threads>2</max_threads>
 </default></profiles>
 <users><agent><password>{password}</password><networks><ip>127.0.0.1</ip></networks>
  <profile>default</profile><quota>default</quota></agent></users>
 <quotas><default></default></quotas>
</yandex>"""


@dataclass
class ClickHouseServer:
    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def start(self) -> None:
        """Returns when it answers."""
        assert PROGRAM is not None
        config = f"--config-file={self.folder}/config.xml"
        self.process = subprocess.Popen([PROGRAM, config], cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while True:
            try:
                assert self.ask("SELECT 1") == "1"
                return
            except httpx.TransportError:
                assert self.process.poll() is None and time.monotonic() < deadline, self._said()
                time.sleep(0.05)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(60)
            self.process = None

    def pause(self) -> None:
        """It keeps its connections and says nothing."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def ask(self, statement: str) -> str:
        """The answer, tab-separated; AssertionError with the server's words when it refuses."""
        headers = {"X-ClickHouse-User": "agent", "X-ClickHouse-Key": PASSWORD}
        answer = httpx.post(self.url, content=statement, headers=headers, timeout=60)
        assert answer.status_code == 200, answer.text
        return answer.text.strip()

    def _said(self) -> str:
        log = self.folder / "errors.log"
        return log.read_text()[-2000:] if log.exists() else "it said nothing"


@contextmanager
def clickhouse_server(folder: Path) -> Iterator[ClickHouseServer]:
    """Running; gone at the end."""
    with ExitStack() as stack:
        ports = [stack.enter_context(closing(socket.create_server(("127.0.0.1", 0)))).getsockname()[1] for _ in range(2)]
    (folder / "config.xml").write_text(CONFIG.format(folder=folder, http=ports[0], tcp=ports[1]))
    (folder / "users.xml").write_text(USERS.format(password=PASSWORD))
    server = ClickHouseServer(folder, ports[0])
    try:
        server.start()
        yield server
    finally:
        if server.process is not None:
            server.process.kill()
            server.process.wait()
