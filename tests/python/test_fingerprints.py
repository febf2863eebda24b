"""Fingerprints tell requests apart."""

import subprocess
import sys

from idemkey import fingerprint


def test_parts_count_with_their_lengths():
    marks = [
        fingerprint(),
        fingerprint(""),
        fingerprint("", ""),
        fingerprint("ab", "c"),
        fingerprint("a", "bc"),
        fingerprint("abc"),
        fingerprint("abc", ""),
        fingerprint("abc", secret=b"s"),
        fingerprint("abc", secret=b"t"),
    ]
    assert len(set(marks)) == len(marks)
    assert {len(mark) for mark in marks} == {16}


def test_text_is_utf_8():
    assert fingerprint("ü", b"x") == fingerprint("ü".encode(), bytearray(b"x"))


def test_large_parts_and_many():
    assert fingerprint(bytes(1 << 20)) != fingerprint(bytes((1 << 20) - 1))
    assert fingerprint(*["x"] * 1000) != fingerprint(*["x"] * 1001)


def test_it_is_the_same_in_every_process():
    code = "import idemkey; print(idemkey.fingerprint('POST', b'\\0', secret=b's').hex())"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == fingerprint("POST", b"\0", secret=b"s").hex()
