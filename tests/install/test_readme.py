"""The README's examples do what it says of them, and links lead somewhere."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STORE = "/dev/shm/payouts.idem"


def example(language: str) -> str:
    """The README's one block of the language, with the store's path left to be set."""
    blocks = re.findall(rf"```{language}\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert len(blocks) == 1
    assert STORE in blocks[0]
    return str(blocks[0])


def test_python(tmp_path: Path) -> None:
    paid: list[tuple[str, int]] = []

    def pay(request_id: str, amount: int) -> bytes:
        paid.append((request_id, amount))
        return b"receipt"

    class NotNowError(Exception):
        pass

    names = {"find_in_ledger": None, "pay": pay, "NotNowError": NotNowError}
    exec(example("python").replace(STORE, str(tmp_path / "store")), names)
    payout, store = names["payout"], names["store"]
    assert [payout("4711", 10), payout("4711", 10)] == [b"receipt", b"receipt"]
    with pytest.raises(NotNowError):
        payout("4711", 20)
    assert paid == [("4711", 10)]
    store.check()
    store.close()


def test_c(tmp_path: Path) -> None:
    include, body = example("c").replace(STORE, str(tmp_path / "store")).split("\n\n", 1)
    source = tmp_path / "readme.c"
    source.write_text(
        f"#include <err.h>\n#include <stdio.h>\n#include <string.h>\n{include}\n"
        'static void pay(void) { puts("paid"); }\n'
        f"int main(void)\n{{\n{body}\nreturn 0;\n}}\n"
    )
    program = str(tmp_path / "readme")
    library = [str(ROOT / "build" / "libidemkey.a"), "-lurcu-bp", "-pthread"]
    flags = ["-Wall", "-Wextra", "-Werror", f"-I{ROOT / 'csrc'}"]
    subprocess.run(["make", "-s", "all"], cwd=ROOT, check=True)
    subprocess.run(["gcc", *flags, str(source), "-o", program, *library], check=True)
    told = [subprocess.run([program], check=True, capture_output=True).stdout for _ in range(2)]
    assert told == [b"paid\n", b""]


def test_links_lead_somewhere() -> None:
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
    links = [
        (page.relative_to(ROOT), target)
        for page in pages
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text())
        if "://" not in target
    ]
    assert links
    assert [link for link in links if not (ROOT / link[0].parent / link[1]).exists()] == []
