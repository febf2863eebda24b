"""Makes ``idemkey._core``: the C core and the glue, compiled into one cffi extension module.

Named in ``setup.py`` as ``cffi_modules``, which runs it in the project's root folder.
"""

from glob import glob
from pathlib import Path

from cffi import FFI

CORE = Path("csrc")
GLUE = Path("bindings", "python")

ffibuilder = FFI()
ffibuilder.cdef((CORE / "idemkey_decl.h").read_text())
ffibuilder.cdef((GLUE / "glue_decl.h").read_text())
ffibuilder.set_source(
    "idemkey._core",
    '#include "glue.h"\n',
    sources=sorted(glob(str(CORE / "*.c"))),
    include_dirs=[str(CORE), str(GLUE)],
    depends=sorted(glob(str(CORE / "*.h")) + glob(str(GLUE / "*.h"))),
    define_macros=[("_GNU_SOURCE", None)],
    libraries=["urcu-bp"],
    extra_compile_args=["-std=c11", "-O3", "-fvisibility=hidden", "-pthread"],
    # Symbolic: the core inside never mixes with a libidemkey.so that the process also loads.
    extra_link_args=["-pthread", "-Wl,-Bsymbolic"],
)
