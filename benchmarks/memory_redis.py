"""Bytes per key of the same keys and values in Redis, for comparison with memory.c.

Usage: memory_redis.py [KEYS]

Starts a redis-server of its own on a Unix socket in a temporary folder, without persistence,
stores KEYS (default 1,000,000) keys with `SET key value NX EX 86400`, and divides the growth of
`used_memory` by them. Needs redis-server in PATH; speaks its protocol through the socket.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

DEFAULT_KEYS = 1_000_000
PIPELINE_KEYS = 10_000
TTL_S = 86400
VALUE_BYTES = 64
START_DEADLINE_S = 10.0
START_POLL_S = 0.02
RECEIVE_BYTES = 1 << 16


def encode(*parts: bytes) -> bytes:
    """Return one command in Redis's protocol."""
    lines = [b"*%d\r\n" % len(parts)]
    lines += [b"$%d\r\n%s\r\n" % (len(part), part) for part in parts]
    return b"".join(lines)


def set_all(connection: socket.socket, keys: int, value: bytes) -> None:
    """Store `keys` new UUID keys, pipelined; every one must be answered OK."""
    for start in range(0, keys, PIPELINE_KEYS):
        count = min(PIPELINE_KEYS, keys - start)
        connection.sendall(
            b"".join(
                encode(b"SET", str(uuid.uuid4()).encode(), value, b"NX", b"EX", b"%d" % TTL_S)
                for _ in range(count)
            )
        )
        expected = b"+OK\r\n" * count
        received = b""
        while len(received) < len(expected):
            chunk = connection.recv(RECEIVE_BYTES)
            if not chunk:
                sys.exit("redis-server closed the connection")
            received += chunk
        if received != expected:
            sys.exit(f"redis-server refused a key: {received[:100]!r}")


def used_memory(connection: socket.socket) -> int:
    """Return what INFO memory calls used_memory: bytes that Redis allocated."""
    connection.sendall(encode(b"INFO", b"memory"))
    received = b""
    while b"used_memory:" not in received or not received.endswith(b"\r\n"):
        received += connection.recv(RECEIVE_BYTES)
    return int(received.split(b"used_memory:")[1].split(b"\r\n")[0])


def connect(path: Path, server: subprocess.Popen[bytes]) -> socket.socket:
    """Return a connection to the server once it listens."""
    deadline = time.monotonic() + START_DEADLINE_S
    while time.monotonic() < deadline and server.poll() is None:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(str(path))
        except OSError:
            connection.close()
            time.sleep(START_POLL_S)
        else:
            return connection
    sys.exit("redis-server did not start listening")


def measure(keys: int, value: bytes) -> float:
    """Return bytes per key in a fresh server."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "redis.sock"
        command = [
            "redis-server", "--port", "0", "--unixsocket", str(path), "--save", "",
            "--appendonly", "no", "--dir", folder, "--daemonize", "no",
        ]  # fmt: skip
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            with connect(path, server) as connection:
                before = used_memory(connection)
                set_all(connection, keys, value)
                return (used_memory(connection) - before) / keys
        finally:
            server.terminate()
            server.wait()


def main() -> None:
    """Measure with and without a value, and print."""
    if shutil.which("redis-server") is None:
        sys.exit("redis-server is not installed: on Debian, apt-get install redis-server")
    keys = int(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_KEYS
    version = subprocess.run(
        ["redis-server", "--version"], check=True, capture_output=True, text=True
    ).stdout.split()[2]
    print(f"Redis {version}, {keys} keys of 36 bytes, bytes per key")
    print(f"{VALUE_BYTES}-byte value {measure(keys, b'v' * VALUE_BYTES):10.1f}")
    print(f"empty value   {measure(keys, b''):10.1f}")


if __name__ == "__main__":
    main()
