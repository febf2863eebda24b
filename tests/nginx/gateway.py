"""Starts nginx as a gateway to the test application: `gateway.py FD FOLDER [NAME=VALUE ...]`.

nginx takes the listening socket with that descriptor; its files go to the folder. SCENES in the
environment names the folder of the scenes; NAME=VALUE is filled into nginx.conf.in. Whoever starts
this ends it by its process group, to which nginx and the application belong.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BUILD = ROOT / os.environ.get("BUILD", "build")
HTTP = HERE.parent / "http"
WORKERS = 4
BACKLOG = 512
THREADS = 16

LUA_FOLDERS = (HERE, ROOT / "bindings" / "nginx", ROOT / "bindings" / "lua", BUILD / "lua")
LUA_PATH = ";".join(f"{folder}/?.lua" for folder in LUA_FOLDERS)


def modules():
    """The directives that load what nginx has not built in, as OpenResty has."""
    built = subprocess.run(["nginx", "-V"], capture_output=True, text=True, check=True).stderr
    folder = Path(re.search(r"--modules-path=(\S+)", built)[1])
    found = [folder / name for name in ("ndk_http_module.so", "ngx_http_lua_module.so")]
    return "\n".join(f"load_module {path};" for path in found if path.exists())


def temporary(folder):
    """The directives for files that nginx would keep where only root may."""
    names = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    return "\n".join(f"{name}_temp_path {folder}/{name};" for name in names)


def configuration(folder, fd, options):
    """nginx's, written to the folder."""
    with socket.socket(fileno=os.dup(fd)) as listener:
        host, port = listener.getsockname()
    values = {
        "FOLDER": folder,
        "WORKERS": WORKERS,
        "MODULES": modules(),
        "TEMPORARY": temporary(folder),
        "USER": "user root;" if os.geteuid() == 0 else "",
        "ADDRESS": f"{host}:{port}",
        "LUA_PATH": LUA_PATH,
        "CHECK_CLIENT_ABORT": "off",
        "SHUTDOWN_TIMEOUT": "60s",
        **dict(option.split("=", 1) for option in options),
    }
    text = re.sub(r"@(\w+)@", lambda at: str(values[at[1]]), (HERE / "nginx.conf.in").read_text())
    path = folder / "nginx.conf"
    path.write_text(text)
    return path


def application(fd):
    return [
        sys.executable, "-m", "gunicorn", "--bind", f"fd://{fd}", "--workers", str(WORKERS),
        "--worker-class", "gthread", "--threads", str(THREADS), "--timeout", "60",
        "--limit-request-field_size", "0", "upstream_app:application",
    ]  # fmt: skip


def main():
    fd, folder = int(sys.argv[1]), Path(sys.argv[2])
    os.set_blocking(fd, False)  # nginx sees to that for sockets of its own only
    path = configuration(folder, fd, sys.argv[3:])
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{folder}/app.sock")
        listener.listen(BACKLOG)
        app = subprocess.Popen(
            application(listener.fileno()),
            cwd=HERE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join((str(HERE), str(HTTP)))},
            pass_fds=[listener.fileno()],
        )
    nginx = subprocess.Popen(
        ["nginx", "-p", str(folder), "-c", str(path), "-e", "stderr"],
        env={**os.environ, "NGINX": f"{fd};", "LD_LIBRARY_PATH": str(BUILD)},
        pass_fds=[fd],
    )
    os.waitpid(-1, 0)  # whichever ends first
    sys.exit(f"the gateway ended: {nginx.poll()}, the application: {app.poll()}")


if __name__ == "__main__":
    main()
