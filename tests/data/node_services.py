"""What runs on the small node that record_node.py records: nginx, a service behind it, and what its clients do."""

from __future__ import annotations

import subprocess
from pathlib import Path

NGINX = """
user root; daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/errors;
events {{ worker_connections 256; }}
http {{
    access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    upstream orders {{ server {address}:8000; keepalive 2; }}
    server {{
        listen {address}:80; listen {address}:8080 http2; listen {address}:443 ssl http2;
        ssl_certificate {folder}/certificate; ssl_certificate_key {folder}/key;
        location /users/ {{ return 200 "somebody"; }}
        location /orders/ {{ proxy_pass http://orders; proxy_http_version 1.1; proxy_set_header Connection ""; }}
        location /broken {{ return 503; }}
        location / {{ return 404; }}
    }}
}}
"""

# Counts in Redis what it is asked for; order 13 is one that it fails on.
ORDERS = """
import socket, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
redis = socket.create_connection((sys.argv[1], 6379))
class Orders(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        number = self.path.rpartition("/")[2]
        redis.sendall(f"*2\\r\\n$4\\r\\nINCR\\r\\n${len(number) + 6}\\r\\norder:{number}\\r\\n".encode())
        redis.recv(100)
        self.send_response(500 if number == "13" else 200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")
    def log_message(self, *words): pass
ThreadingHTTPServer((sys.argv[1], 8000), Orders).serve_forever()
"""

SHOP = """
for round in 1 2 3 4 5 6; do
    curl -so /dev/null http://shop.example/users/100$round -o /dev/null http://shop.example/users/200$round?token=secret
    curl -so /dev/null http://shop.example/orders/1$round -o /dev/null http://shop.example/orders/13
    curl -sko /dev/null https://shop.example/users/300$round -o /dev/null https://shop.example/broken
    nghttp -n http://shop.example:8080/users/400$round http://shop.example:8080/orders/5$round
    printf 'SET basket:%s 1\\nGET basket:%s\\nLPUSH basket:%s 1\\n' $round $round $round | redis-cli -h {address}
    curl -so /dev/null http://shop.example/nowhere
done
curl -so /dev/null http://{address}:9000/
dig +short +time=1 +tries=1 @{address} nobody.example
dig +short +time=1 +tries=1 @{address} elsewhere.test
dig +short +time=1 +tries=1 @{address} shop.silent.test
sh -c 'kill -9 $$'
true
"""

REPORT = (
    "create table sales (item text, price int)",
    *(f"insert into sales values ('item {number}', {number})" for number in range(1, 7)),
    "select item, price from sales where price > 3",
    "select sum(price) from sales",
    "update sales set price = price + 1 where item = 'item 2'",
    "select * from missing",
    "delete from sales",
)


def configure_nginx(folder: Path, address: str) -> Path:
    """The configuration file, with a certificate that lives for some days."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=shop.example", "-keyout", folder / "key", "-out", folder / "certificate"],
        check=True, capture_output=True,
    )  # fmt: skip
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, address=address))
    return folder / "nginx.conf"


def shop_rounds(address: str) -> str:
    """For bash: what the shop asks for, each of it a connection of its own but where it stands on one line."""
    return SHOP.replace("{address}", address)


def report_statements() -> list[str]:
    """Options of psql: one connection, one statement after the other, one of them wrong."""
    return [word for statement in REPORT for word in ("-c", statement)]
