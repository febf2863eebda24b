"""Makes ``idemkey._core``: the C core, the HTTP engine and the glue, one cffi extension module.

Named in ``setup.py`` as ``cffi_modules``, which runs it in the project's root folder.
"""

from glob import glob
from pathlib import Path

from cffi import FFI

CORE = Path("csrc")
HTTP = CORE / "http"
GLUE = Path("bindings", "python")


def files(*patterns):
    """The files that match, in an order that is the same everywhere."""
    return sorted(name for pattern in patterns for name in glob(str(pattern)))


ffibuilder = FFI()
ffibuilder.cdef((CORE / "idemkey_decl.h").read_text())
ffibuilder.cdef((GLUE / "glue_decl.h").read_text())
ffibuilder.cdef((HTTP / "idemkey_http_decl.h").read_text())
ffibuilder.cdef((GLUE / "glue_http_decl.h").read_text())
ffibuilder.set_source(
    "idemkey._core",
    '#include "glue.h"\n#include "glue_http.h"\n',
    sources=files(CORE / "*.c", HTTP / "*.c"),
    include_dirs=[str(CORE), str(GLUE)],
    depends=files(CORE / "*.h", HTTP / "*.h", GLUE / "*.h"),
    define_macros=[("_GNU_SOURCE", None)],
    libraries=["urcu-bp", "jansson", "sodium", "m"],
    extra_compile_args=["-std=c11", "-O3", "-fvisibility=hidden", "-pthread"],
    # Symbolic: the core inside never mixes with a libidemkey.so that the process also loads.
    extra_link_args=["-pthread", "-Wl,-Bsymbolic"],
)
