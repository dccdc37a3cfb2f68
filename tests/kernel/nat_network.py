"""A small node made of network namespaces: a client and a server behind a router that rewrites a service's address."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SERVICE, SERVICE_PORT = "10.96.0.1", 80
CLIENT, SERVER, SERVER_PORT = "10.91.1.5", "10.91.2.7", 8080
RULES = f"""
table ip translate {{
    chain before {{
        type nat hook prerouting priority -100;
        ip daddr {SERVICE} tcp dport {SERVICE_PORT} dnat to {SERVER}:{SERVER_PORT};
        ip daddr {SERVICE} udp dport {SERVICE_PORT} dnat to {SERVER}:{SERVER_PORT};
    }}
    chain after {{
        type nat hook postrouting priority 100;
    }}
}}
"""

# What makes the kernel track connections here; kube-proxy has such a rule, too.
TRACKING_RULES = """
table ip translate {
    chain forward {
        type filter hook forward priority 0;
        ct state established accept;
    }
    chain after {
        type nat hook postrouting priority 100;
    }
}
"""


class Network:
    """Names of the three namespaces; commands run in one of them."""

    def __init__(self) -> None:
        self.router, self.client, self.server = (f"hg-{name}-{os.getpid()}" for name in ("router", "client", "server"))

    def place(self, namespace: str) -> Path:
        return Path("/run/netns") / namespace

    def run(self, namespace: str, *command: str, text: str = "") -> None:
        subprocess.run(["ip", "netns", "exec", namespace, *command], check=True, input=text or None, text=True)

    def make(self) -> None:
        for name in (self.router, self.client, self.server):
            subprocess.run(["ip", "netns", "add", name], check=True)
            subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
        self._join(self.client, CLIENT, "10.91.1.1", "one")
        self._join(self.server, SERVER, "10.91.2.1", "two")
        self.run(self.router, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
        self.translate()

    def translate(self) -> None:
        """From now on connections to the service reach the server."""
        self.run(self.router, "nft", "-f", "-", text=RULES)

    def masquerade(self) -> None:
        """From now on the server sees the router's address instead of the client's."""
        self.run(self.router, "nft", "add", "rule", "ip", "translate", "after", "ip", "daddr", SERVER, "masquerade")

    def _join(self, name: str, address: str, gateway: str, link: str) -> None:
        ip = ["ip", "-n", self.router]
        subprocess.run([*ip, "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", name], check=True)
        subprocess.run([*ip, "addr", "add", f"{gateway}/24", "dev", link], check=True)
        subprocess.run([*ip, "link", "set", link, "up"], check=True)
        inside = ["ip", "-n", name]
        subprocess.run([*inside, "addr", "add", f"{address}/24", "dev", "eth0"], check=True)
        subprocess.run([*inside, "link", "set", "eth0", "up"], check=True)
        subprocess.run([*inside, "route", "add", "default", "via", gateway], check=True)

    def remove(self) -> None:
        for name in (self.router, self.client, self.server):
            subprocess.run(["ip", "netns", "del", name], check=False, stderr=subprocess.DEVNULL)


class VirtualServerNetwork(Network):
    """The service is one of IPVS, as kube-proxy makes it in that mode: an address of the router's own, masq, conntrack on."""

    def translate(self) -> None:
        self.run(self.router, "nft", "-f", "-", text=TRACKING_RULES)
        self.run(self.router, "ip", "link", "add", "kube-ipvs0", "type", "dummy")
        self.run(self.router, "ip", "addr", "add", f"{SERVICE}/32", "dev", "kube-ipvs0")
        service = f"{SERVICE}:{SERVICE_PORT}"
        self.run(self.router, "ipvsadm", "--add-service", "--tcp-service", service, "--scheduler", "rr")
        self.run(self.router, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/vs/conntrack")
        server = f"{SERVER}:{SERVER_PORT}"
        self.run(self.router, "ipvsadm", "--add-server", "--tcp-service", service, "--real-server", server, "--masquerading")


@contextmanager
def translating_network(kind: type[Network] = Network) -> Iterator[Network]:
    network = kind()
    try:
        network.make()
        yield network
    finally:
        network.remove()


def missing_for_translation() -> str:
    """'' when addresses can be rewritten here, else why not."""
    if os.geteuid() != 0:
        return "needs root"
    tool = next((tool for tool in ("ip", "nft") if shutil.which(tool) is None), "")
    if tool:
        return f"{tool} is not installed"
    with translating_probe() as refused:
        return refused


@contextmanager
def translating_probe() -> Iterator[str]:
    name = f"hg-trial-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=False, stderr=subprocess.DEVNULL)
    tried = subprocess.run(
        ["ip", "netns", "exec", name, "nft", "-f", "-"], input=RULES, text=True, capture_output=True, check=False
    )
    try:
        yield "" if tried.returncode == 0 else f"this kernel rewrites no addresses: {tried.stderr.strip().splitlines()[0]}"
    finally:
        subprocess.run(["ip", "netns", "del", name], check=False, stderr=subprocess.DEVNULL)


def missing_for_virtual_servers() -> str:
    """'' when this kernel has IPVS and its tool is here, else why not."""
    if shutil.which("ipvsadm") is None:
        return "ipvsadm is not installed"
    tried = subprocess.run(["ipvsadm", "--list"], capture_output=True, text=True, check=False)
    return "" if tried.returncode == 0 else f"this kernel has no IPVS: {tried.stderr.strip().splitlines()[0]}"
