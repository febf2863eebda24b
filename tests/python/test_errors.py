"""Every status of C has its exception, and every exception travels."""

import pickle

import idemkey
import pytest
from idemkey import errors
from idemkey.low_level import ffi, lib

STATUSES = {
    name: getattr(lib, name)
    for name in ffi.typeof("enum idem_status").relements
    if name != "IDEM_OK"
}
BUILT_IN = {"IDEM_EINVAL": ValueError, "IDEM_ESYS": OSError}


@pytest.mark.parametrize("name", STATUSES)
def test_every_status_has_an_exception(name):
    status = STATUSES[name]
    kind = type(errors.error(status))
    if name in BUILT_IN:
        assert issubclass(kind, BUILT_IN[name])
    else:
        assert kind.status == status
        assert issubclass(kind, idemkey.Error)
        assert getattr(idemkey, kind.__name__) is kind


def test_a_message_of_c_is_the_exceptions(store):
    with pytest.raises(ValueError, match="key") as caught:
        store.claim(b"")
    assert str(caught.value) == ffi.string(lib.idem_last_error()).decode()


def test_timeouts_and_lookups_are_the_languages_too():
    assert issubclass(idemkey.WaitTimeoutError, TimeoutError)
    assert issubclass(idemkey.NotFoundError, LookupError)


def test_exceptions_pickle_without_their_claim(store):
    mine = store.claim("k")
    with pytest.raises(idemkey.BusyError) as caught:
        store.run("k", lambda: b"")
    assert caught.value.claim.id == mine.id
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (type(copy), str(copy), copy.claim) == (idemkey.BusyError, str(caught.value), None)
    mine.release()
