"""Opening, closing and pickling."""

import errno
import os
import pickle
import stat
import threading

import idemkey
import pytest
from children import eventually

MAX_BYTES = 16 << 20
NOBODY = 65534


def open_store(path, **options):
    return idemkey.Store(path, MAX_BYTES, **options)


def test_two_handles_share_the_keys(path):
    with open_store(path) as one, open_store(path) as two:
        one.claim("k").complete(b"v")
        assert two.claim("k").value == b"v"
        assert two.check()["violations"] == 0


def test_it_stays_when_all_have_left(path):
    with open_store(path) as store:
        store.claim("k").complete(b"v")
    with open_store(path) as store:
        assert store.lookup("k").value == b"v"


def test_path_may_be_any_path(tmp_path):
    for name in (tmp_path / "a", os.fsencode(tmp_path / "b")):
        with open_store(name) as store:
            assert store.path == os.fspath(name)
            assert os.path.exists(name)


def test_relative_path_becomes_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with open_store("region") as store:
        assert store.path == str(tmp_path / "region")


def test_without_a_path_nothing_is_left(tmp_path, monkeypatch, fork):
    monkeypatch.chdir(tmp_path)
    with open_store(None) as store:
        store.claim("k").complete(b"v")
        fork(lambda say: say(store.lookup("k").value.decode())).hear()
        assert os.listdir(tmp_path) == []


def test_exclusive(path):
    with open_store(path, exclusive=True), pytest.raises(FileExistsError):
        open_store(path, exclusive=True)


def test_not_creating(path):
    with pytest.raises(FileNotFoundError):
        open_store(path, create=False)
    assert not os.path.exists(path)


def test_mode_and_group(path):
    old = os.umask(0o077)
    try:
        open_store(path, mode=0o660, group=NOBODY).close()
    finally:
        os.umask(old)
    found = os.stat(path)
    assert stat.S_IMODE(found.st_mode) == 0o660
    if os.geteuid() == 0:
        assert found.st_gid == NOBODY


def test_default_mode_is_private(path):
    open_store(path).close()
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_missing_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="missing"):
        open_store(tmp_path / "missing" / "region")


def test_folder_in_its_place(tmp_path):
    with pytest.raises((OSError, ValueError)):
        open_store(tmp_path)


def test_link_in_its_place(path):
    os.symlink("elsewhere", path)
    with pytest.raises(OSError, match=r".") as caught:
        open_store(path)
    assert caught.value.errno == errno.ELOOP


def test_fifo_in_its_place(path):
    os.mkfifo(path)
    with pytest.raises((OSError, ValueError, idemkey.CorruptError)):
        open_store(path)


def test_foreign_file(path):
    with open(path, "wb") as file:
        file.write(b"SQLite format 3\0" * 4096)
    with pytest.raises(idemkey.CorruptError, match="region"):
        open_store(path)


def test_damaged_file(path):
    open_store(path).close()
    with open(path, "r+b") as file:
        file.write(b"\xff" * 8)
    with pytest.raises(idemkey.CorruptError):
        open_store(path)


def test_no_permission(path, fork):
    open_store(path, mode=0o600).close()

    def other_user(say):
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        else:
            os.chmod(path, 0)
        try:
            open_store(path)
        except PermissionError as error:
            say(error.errno)

    assert fork(other_user).hear() == errno.EACCES


def test_replaced_file_is_noticed(path):
    store = open_store(path)
    os.unlink(path)
    with open_store(path) as new:
        new.claim("k").complete(b"")

        def refused():
            try:
                store.claim(os.urandom(8)).release()
            except idemkey.ReplacedError:
                return True
            return False

        eventually(refused)
    store.close()


def test_readonly(path):
    with open_store(path) as store:
        store.claim("k").complete(b"v")
        with open_store(path, readonly=True) as reader:
            assert reader.lookup("k").value == b"v"
            assert [record.key for record in reader.scan()] == [b"k"]
            assert reader.stats()["done_keys"] == 1
            with pytest.raises((ValueError, OSError), match="read"):
                reader.claim("other")


def test_closing_twice_does_nothing(path):
    store = open_store(path)
    store.close()
    store.close()
    assert store.closed


@pytest.mark.parametrize(
    "call",
    [
        lambda store: store.claim("k"),
        lambda store: store.lookup("k"),
        lambda store: store.wait("k", 0),
        lambda store: store.forget("k"),
        lambda store: store.touch("k", 1),
        lambda store: store.resolve("k", None),
        lambda store: store.claim_many(["k"]),
        lambda store: store.lookup_many(["k"]),
        lambda store: list(store.scan()),
        lambda store: store.stats(),
        lambda store: store.check(),
        lambda store: store.sweep(),
        lambda store: store.resize(MAX_BYTES),
    ],
)
def test_a_closed_store_refuses(path, call):
    store = open_store(path)
    store.close()
    with open_store(path), pytest.raises(ValueError, match="closed"):
        call(store)


def test_claims_of_a_closed_store(path):
    store = open_store(path)
    claim, done = store.claim("k"), store.claim("d")
    done.complete(b"v")
    record = store.lookup("d")
    store.close()
    assert record.value == b"v"
    with pytest.raises(ValueError, match="closed"):
        claim.complete()
    with open_store(path) as again:
        assert again.claim("k").outcome is idemkey.Outcome.BUSY
        assert again.check()["violations"] == 0
    del claim


def test_closing_under_other_threads(path):
    store = open_store(path)
    begun = threading.Barrier(5)
    refused = []

    def work(name):
        begun.wait()
        for i in range(1_000_000):
            try:
                store.claim(f"{name}:{i}").complete(b"v")
            except ValueError as error:
                refused.append(error)
                return

    threads = [threading.Thread(target=work, args=[name]) for name in range(4)]
    for thread in threads:
        thread.start()
    begun.wait()
    store.close()
    for thread in threads:
        thread.join()
    assert len(refused) == 4
    with open_store(path) as again:
        assert again.check()["violations"] == 0


def test_pickles_as_path_and_options(path):
    store = open_store(path, max_value_bytes=4096, exclusive=True)
    text = pickle.dumps(store)
    with pickle.loads(text) as copy:
        assert (copy.path, copy.closed) == (store.path, False)
        copy.claim("k").complete(b"v")
    assert store.lookup("k").value == b"v"
    assert store.stats()["value_max"] == 4096
    store.close()
    with pytest.raises(ValueError, match="closed"):
        pickle.dumps(store)


def test_without_a_path_it_does_not_pickle():
    with open_store(None) as store, pytest.raises(TypeError, match="path"):
        pickle.dumps(store)


def test_repr(store):
    assert repr(store).startswith("<Store '/")
    assert repr(store).endswith("open>")
    store.check()
    store.close()
    assert repr(store).endswith("closed>")
