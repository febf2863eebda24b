"""The configuration of docs/nginx.md, as it stands there, makes a gateway."""

from __future__ import annotations

import re
import socket
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from clients import Plain
from gateway import BUILD, LUA_PATH, ROOT, modules, temporary
from message import Request
from scene import eventually

PAGE = ROOT / "docs" / "nginx.md"
STORE, BACKEND, ADDRESS = '"/dev/shm/gateway.idem"', "127.0.0.1:8000", "127.0.0.1:8080"


class Upstream(BaseHTTPRequestHandler):
    def do_POST(self):
        self.server.taken.append(self.rfile.read(int(self.headers["Content-Length"])))
        body = b"number %d" % len(self.server.taken)
        self.send_response(201)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def upstream():
    with ThreadingHTTPServer(("127.0.0.1", 0), Upstream) as server:
        server.taken = []
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def address(tmp_path, upstream):
    """The address of nginx with the page's configuration."""
    (block,) = re.findall(r"```nginx\n(.*?)```", PAGE.read_text(), re.DOTALL)
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = free.getsockname()
    for old, new in (
        (STORE, f'"{tmp_path}/region.idem"'),
        (BACKEND, "{}:{}".format(*upstream.server_address)),
        (ADDRESS, "{}:{}".format(*address)),
    ):
        assert block.count(old) == 1
        block = block.replace(old, new)
    path = tmp_path / "nginx.conf"
    path.write_text(f"""
        daemon off; master_process off; pid {tmp_path}/pid; error_log stderr;
        {modules()}
        events {{}}
        http {{
            access_log off;
            {temporary(tmp_path)}
            lua_package_path "{LUA_PATH};;";
            {block}
        }}
    """)
    nginx = subprocess.Popen(
        ["nginx", "-p", str(tmp_path), "-c", str(path), "-e", "stderr"],
        env={"LD_LIBRARY_PATH": str(BUILD), "PATH": "/usr/sbin:/usr/bin"},
    )
    try:
        eventually(lambda: nginx.poll() is not None or listens(address), "nginx listens")
        yield address
    finally:
        nginx.terminate()
        nginx.wait()


def listens(address):
    with socket.socket() as client:
        return client.connect_ex(address) == 0


def test_the_first_configuration(address, upstream):
    fields = (("Authorization", "Bearer ann"), ("Idempotency-Key", "1"))
    client = Plain(address)
    first, again = (
        client.send(Request("POST", "/v1/payouts", "", fields, b"amount=7")) for _ in range(2)
    )
    assert (first.status, first.body) == (again.status, again.body) == (201, b"number 1")
    assert again.value("Idempotent-Replayed") == "true"
    assert client.send(Request("POST", "/v1/payouts", "", fields, b"amount=8")).status == 400
    assert upstream.taken == [b"amount=7"]
    assert client.send(Request("POST", "/v1/payouts", "", (), b"amount=8")).body == b"number 2"
