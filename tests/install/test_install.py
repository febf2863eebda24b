"""`make install`: what a C engineer gets, and that nothing private is in it."""

import os
import re
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PREFIX = "/usr/local"
SONAME = "libidemkey.so.0"
HTTP_SONAME = "libidemkey_http.so.0"
# Beside the C library itself. liburcu-common is a part of liburcu that its libraries need in turn.
MAY_NEED = re.compile(r"^(libc|liburcu-bp|liburcu-common|ld-linux[\w-]*|linux-vdso)\.so\.\d+$")
HTTP_NEEDS = {"libidemkey.so.0", "libjansson.so.4", "libsodium.so.23", "libc.so.6"}
WARNINGS = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic"]


def run(*command: str, env: "dict[str, str] | None" = None) -> str:
    """The command's output; fails the test with it if the command fails."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, f"{shlex.join(command)} failed:\n{done.stdout}"
    return done.stdout


@dataclass
class Installed:
    root: Path

    @property
    def lib(self) -> Path:
        return self.root / PREFIX.lstrip("/") / "lib"

    @property
    def include(self) -> Path:
        return self.root / PREFIX.lstrip("/") / "include"

    def pkg_config(self, *options: str, package: str = "idemkey") -> "list[str]":
        where = {
            "PKG_CONFIG_SYSROOT_DIR": str(self.root),
            "PKG_CONFIG_PATH": str(self.lib / "pkgconfig"),
        }
        return shlex.split(run("pkg-config", *options, package, env=where))


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    root = tmp_path_factory.mktemp("destdir")
    run("make", "--no-print-directory", "install", f"DESTDIR={root}", f"PREFIX={PREFIX}")
    return Installed(root)


def declared(header: str) -> "set[str]":
    """The functions of a public header."""
    text = (ROOT / "csrc" / header).read_text()
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    return set(re.findall(r"\b(idem_\w+)\s*\(", text))


def test_the_files(installed: Installed) -> None:
    found = {
        str(path.relative_to(installed.root / PREFIX.lstrip("/")))
        for path in installed.root.rglob("*")
        if not path.is_dir()
    }
    assert found == {
        "include/idemkey.h",
        "include/idemkey_decl.h",
        "include/idemkey_http.h",
        "include/idemkey_http_decl.h",
        "lib/libidemkey.a",
        "lib/libidemkey.so",
        f"lib/{SONAME}",
        "lib/libidemkey_http.a",
        "lib/libidemkey_http.so",
        f"lib/{HTTP_SONAME}",
        "lib/pkgconfig/idemkey.pc",
        "lib/pkgconfig/idemkey_http.pc",
    }
    assert os.readlink(installed.lib / "libidemkey.so") == SONAME
    assert os.readlink(installed.lib / "libidemkey_http.so") == HTTP_SONAME


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_program_with_pkg_config(installed: Installed, tmp_path: Path, compiler: str) -> None:
    program = str(tmp_path / "program")
    flags = installed.pkg_config("--cflags", "--libs")
    run(compiler, *WARNINGS, str(HERE / "program.c"), "-o", program, *flags)
    out = run(program, str(tmp_path / "store"), env={"LD_LIBRARY_PATH": str(installed.lib)})
    assert out.splitlines() == ["CLAIMED", "DONE paid", installed.pkg_config("--modversion")[0]]


def test_http_program_with_pkg_config(installed: Installed, tmp_path: Path) -> None:
    program = str(tmp_path / "program")
    flags = installed.pkg_config("--cflags", "--libs", package="idemkey_http")
    run("gcc", *WARNINGS, str(HERE / "http_program.c"), "-o", program, *flags)
    out = run(program, str(tmp_path / "store"), env={"LD_LIBRARY_PATH": str(installed.lib)})
    assert out.splitlines() == ["RUN", "SEND", "REPLAY 201 made"]


def test_program_with_the_static_library(installed: Installed, tmp_path: Path) -> None:
    program = str(tmp_path / "program")
    library = str(installed.lib / "libidemkey.a")
    flags = [*installed.pkg_config("--cflags"), library, "-lurcu-bp", "-pthread"]
    run("gcc", *WARNINGS, str(HERE / "program.c"), "-o", program, *flags)
    out = run(program, str(tmp_path / "store"))
    assert out.splitlines()[:2] == ["CLAIMED", "DONE paid"]


def test_header_in_cplusplus(installed: Installed, tmp_path: Path) -> None:
    source = tmp_path / "header.cc"
    source.write_text("#include <idemkey_http.h>\nauto *make = idem_http_new;\n")
    flags = ["-fsyntax-only", "-Wall", "-Wextra", "-Werror", "-pedantic"]
    run("clang", "-x", "c++", *flags, f"-I{installed.include}", str(source))


@pytest.mark.parametrize(
    ("library", "header"),
    [(SONAME, "idemkey_decl.h"), (HTTP_SONAME, "http/idemkey_http_decl.h")],
)
def test_exports_are_the_public_functions(installed: Installed, library: str, header: str) -> None:
    lines = run("nm", "-D", "--defined-only", str(installed.lib / library)).splitlines()
    names = {line.split()[-1].split("@")[0] for line in lines if " A " not in line}
    assert names == declared(header)


def test_the_http_library_names_what_it_needs(installed: Installed) -> None:
    dynamic = run("readelf", "-dW", str(installed.lib / HTTP_SONAME))
    assert set(re.findall(r"NEEDED.*\[(.+)\]", dynamic)) <= HTTP_NEEDS | {"libm.so.6"}


def test_needs_nothing_but_libc_and_liburcu(installed: Installed) -> None:
    lines = run("ldd", str(installed.lib / SONAME)).splitlines()
    needed = [os.path.basename(line.split()[0]) for line in lines]
    assert "liburcu-bp.so.8" in needed
    assert [name for name in needed if not MAY_NEED.match(name)] == []


def test_soname_and_flags(installed: Installed) -> None:
    dynamic = run("readelf", "-dW", str(installed.lib / SONAME))
    assert f"[{SONAME}]" in dynamic
    # A thread that ends after dlclose() still runs the library's destructor.
    assert "NODELETE" in dynamic
    assert "TEXTREL" not in dynamic
    assert "GNU_STACK" in (stack := run("readelf", "-lW", str(installed.lib / SONAME)))
    assert "RWE" not in stack


def test_builds_without_warnings_with_clang(tmp_path: Path) -> None:
    run("make", "--no-print-directory", "-j2", f"BUILD={tmp_path}", "CC=clang", "all")
