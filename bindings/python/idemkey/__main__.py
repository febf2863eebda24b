"""``python -m idemkey``: the package's demonstration."""

from __future__ import annotations

import argparse
import sys

from . import __version__, demo


def main() -> int:
    """Run what the command line asks for; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m idemkey", description=f"idemkey {__version__}: idempotency keys in memory"
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    show = commands.add_parser("demo", help="what the store promises, shown with real processes")
    show.add_argument(
        "--keys",
        type=_positive,
        default=demo.KEYS,
        metavar="N",
        help=f"keys of the last scene (default {demo.KEYS:,})",
    )
    options = parser.parse_args()
    if options.command is None:
        parser.print_help()
        return 0
    return demo.main(options.keys)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number}: must be at least 1")
    return number


if __name__ == "__main__":
    sys.exit(main())
