"""Makes assembly code count its own instructions.

Usage: count.py INPUT.s OUTPUT.s

INPUT is what the compiler wrote for one file of the core, at its usual optimisation. At the start
of each basic block OUTPUT adds the block's instructions to `cost_total`, and one to a counter of
the block, which cost.c can name by source line. Flags and registers are left as they were, so
the code runs as it would without. What is counted is exact, for every call of a run of millions, at
a third of the usual speed: no processor counter and no emulator is needed. (x86-64.)

Each round of a string instruction (`rep stosq`) counts as one instruction.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

# Labels that code may jump to; the compiler's other ones (.LVL3, .LFB7, .LBB2) are for debuggers.
TARGET = re.compile(r"(\.L\d+|[A-Za-z_][\w.]*|\d+):")
INSTRUCTION = re.compile(r"\t(?!\.)([a-z]\w*)")
# Not instructions by themselves, but parts of the next one (thread-local storage, atomics).
PREFIXES = {"rex64", "data16", "lock", "notrack"}
JUMPS = re.compile(r"\t(?:notrack )?(j\w+|ret|loop\w*)\b")
REPEATED = re.compile(r"\trep\w*\s+(stos|movs|cmps|scas)")

# The red zone below the stack pointer may be in use. Neither mov nor lea touches the flags.
SAVE = "\tleaq\t-128(%rsp), %rsp\n\tpushq\t%rax\n"
RESTORE = "\tpopq\t%rax\n\tleaq\t128(%rsp), %rsp\n"
ADD = "\tmovq\tcost_total(%rip), %rax\n\tleaq\t{amount}(%rax{index}), %rax\n"
ADD += "\tmovq\t%rax, cost_total(%rip)\n"
BLOCK = "\tmovl\t.Lcost{block}(%rip), %eax\n\tleal\t1(%rax), %eax\n"
BLOCK += "\tmovl\t%eax, .Lcost{block}(%rip)\n"
# cost.h: struct cost_place, and a counter beside it.
TABLES = """\t.pushsection cost_places,"aw"
\t.balign 8
\t.quad .Lcostfile{file}, .Lcostfunction{function}
\t.long {line}, {amount}
\t.popsection
\t.pushsection cost_counts,"aw"
.Lcost{block}:
\t.long 0
\t.popsection
"""


class Counter:
    """Goes through the lines of one file and collects those to write."""

    def __init__(self) -> None:
        self.out: list[str] = []
        self.files: dict[str, str] = {}
        self.functions: list[str] = []
        self.blocks = 0
        self.code = True  # in a section of code
        self.place = ("0", "0")  # file and line of what comes
        self.begun: int | None = None  # where in `out` the open block's counting goes
        self.begun_place = self.place
        self.amount = 0

    def end_block(self) -> None:
        """Write the counting of the open block where it began."""
        if self.begun is not None:
            names = {"block": self.blocks, "amount": self.amount, "index": ""}
            file, line = self.begun_place
            table = TABLES.format(
                **names, file=file, line=line, function=max(0, len(self.functions) - 1)
            )
            count = SAVE + ADD.format(**names) + BLOCK.format(**names) + RESTORE
            self.out[self.begun] = table + count
            self.blocks += 1
        self.begun = None
        self.amount = 0

    def directive(self, line: str) -> None:
        """Follow sections, files and lines."""
        words = line.split()
        if words[0] in (".text", ".section", ".data", ".bss"):
            self.end_block()
            self.code = words[0] == ".text" or (words[0] == ".section" and ".text" in words[1])
        elif words[0] == ".file" and len(words) > 2:
            self.files[words[1]] = Path(words[-1].strip('"')).name
        elif words[0] == ".loc":
            self.place = (words[1], words[2])

    def instruction(self, line: str, name: str) -> None:
        """Count one, as a part of the open block or of a new one."""
        if self.begun is None:
            self.begun = len(self.out)
            self.begun_place = self.place
            self.out.append("")
        if REPEATED.match(line):
            self.out.append(SAVE + ADD.format(amount=0, index=",%rcx") + RESTORE)
        elif name not in PREFIXES or len(line.split()) > 1:
            self.amount += 1
        self.out.append(line)
        if JUMPS.match(line):
            self.end_block()

    def line(self, line: str) -> None:
        """Take the next line."""
        found = INSTRUCTION.match(line)
        label = TARGET.match(line)
        if line.startswith("\t."):
            self.directive(line)
        if self.code and label:
            self.end_block()
            if not label[1].startswith(".") and not label[1].isdigit():
                self.functions.append(label[1])
        if self.code and found:
            self.instruction(line, found[1])
        else:
            self.out.append(line)

    def finish(self) -> str:
        """Return all that is to be written."""
        self.end_block()
        text = ["\t.hidden\tcost_total\n", *self.out, "\t.section\t.rodata\n"]
        self.files.setdefault("0", "?")
        names = [(f"file{number}", name) for number, name in self.files.items()]
        names += [(f"function{i}", name) for i, name in enumerate(self.functions or ["?"])]
        text += [f'.Lcost{label}:\n\t.string\t"{name}"\n' for label, name in names]
        return "".join(text)


def main() -> None:
    """Rewrite one file."""
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    counter = Counter()
    for line in Path(sys.argv[1]).read_text().splitlines(keepends=True):
        counter.line(line)
    Path(sys.argv[2]).write_text(counter.finish())


if __name__ == "__main__":
    main()
