"""What setuptools cannot be told in pyproject.toml: the extension module, and clear refusals."""

import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from setuptools import setup
from setuptools.command.build_ext import build_ext

HEADERS = ("urcu-bp.h", "xxhash.h", "jansson.h", "sodium.h", "Python.h")
PACKAGES = (
    "Debian and Ubuntu: apt install gcc libc6-dev liburcu-dev libxxhash-dev libjansson-dev "
    "libsodium-dev python3-dev; Fedora: dnf install gcc userspace-rcu-devel xxhash-devel "
    "jansson-devel libsodium-devel python3-devel"
)


def missing_headers(compiler):
    """Names of what the build needs and the compiler does not find."""
    include = sysconfig.get_paths()["include"]
    missing = []
    with tempfile.TemporaryDirectory() as folder:
        probe = Path(folder, "probe.c")
        for header in HEADERS:
            probe.write_text(f"#include <{header}>\n")
            command = [*compiler, "-E", f"-I{include}", str(probe)]
            try:
                found = subprocess.run(command, capture_output=True, check=False).returncode == 0
            except OSError:
                return [f"the C compiler '{compiler[0]}'"]
            if not found:
                missing.append(f"<{header}>")
    return missing


class BuildCore(build_ext):
    """build_ext, after a look at whether it can succeed."""

    def build_extensions(self):
        missing = missing_headers(self.compiler.compiler)
        if missing:
            raise SystemExit(f"idemkey: cannot build without {', '.join(missing)}. {PACKAGES}")
        super().build_extensions()


if not sys.platform.startswith("linux"):
    raise SystemExit(
        f"idemkey: runs on Linux only (it needs memfd, futex and open-file-description locks), "
        f"not on {sys.platform}"
    )

setup(cffi_modules=["bindings/python/build_core.py:ffibuilder"], cmdclass={"build_ext": BuildCore})
