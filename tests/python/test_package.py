"""The package as a whole: names, version, examples in the documentation."""

import doctest
import importlib
import importlib.metadata
import inspect
import pkgutil
from pathlib import Path

import idemkey
import pytest
from idemkey import low_level

FOLDER = Path(idemkey.__file__).parent
# Importing __main__ would run it; the extension has no docstrings.
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages([str(FOLDER)], "idemkey.")
    if module.name.split(".")[1] not in ("__main__", "_core")
)


def test_version_is_the_cores():
    assert idemkey.__version__ == importlib.metadata.version("idemkey")
    assert idemkey.__version__ == low_level.text(low_level.lib.idem_version())


def test_all_names_are_there():
    assert all(hasattr(idemkey, name) for name in idemkey.__all__)
    assert len(set(idemkey.__all__)) == len(idemkey.__all__)


def test_it_says_that_it_is_typed():
    assert (FOLDER / "py.typed").exists()


def test_constants_of_the_glue_agree():
    space = low_level.ffi.typeof("struct idem__py_reply").fields
    found = {name: field.type for name, field in space}["space"]
    assert found.length == low_level.lib.IDEM__PY_SPACE_BYTES


@pytest.mark.parametrize("name", ["idemkey", *MODULES])
def test_examples(name, store):
    module = importlib.import_module(name)
    failed, _ = doctest.testmod(module, extraglobs={"store": store})
    assert failed == 0


def test_there_are_examples(store):
    finder = doctest.DocTestFinder()
    modules = [importlib.import_module(name) for name in MODULES]
    found = [test for module in modules for test in finder.find(module) if test.examples]
    assert {test.name for test in found} >= {"idemkey.store.Store.claim", "idemkey.claim.Claim"}


@pytest.mark.parametrize("kind", [idemkey.Store, idemkey.Claim, idemkey.Record])
def test_every_public_name_is_documented(kind):
    for name, member in inspect.getmembers(kind):
        if not name.startswith("_") and (callable(member) or isinstance(member, property)):
            assert inspect.getdoc(member), f"{kind.__name__}.{name}"
