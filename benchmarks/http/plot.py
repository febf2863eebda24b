"""Draws what in_process.py measured: microseconds added to a request, on a logarithmic scale.

python benchmarks/http/plot.py build/bench_http.json docs/benchmarks-http.svg
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("svg")
from matplotlib import pyplot as plt

COLOURS = {"first": "#1f6f8b", "replay": "#e0a458"}
BAR = 0.38


def main(source: str, target: str) -> None:
    """Read, draw, write."""
    rows = [row for row in json.loads(Path(source).read_text()) if row["contender"] != "bare"]
    labels = list(dict.fromkeys(f"{row['contender']} ({row['kind']})" for row in rows))
    mpl.rcParams["svg.hashsalt"] = "idemkey"  # the same figures give the same file
    figure, axes = plt.subplots(figsize=(8, 0.7 + 0.6 * len(labels)))
    for offset, step in ((BAR / 2, "first"), (-BAR / 2, "replay")):
        for row in (row for row in rows if row["step"] == step):
            lower, median, upper = row["us"]
            place = len(labels) - labels.index(f"{row['contender']} ({row['kind']})") + offset
            errors = [[max(median - lower, 0)], [max(upper - median, 0)]]
            axes.barh(place, median, BAR, color=COLOURS[step], xerr=errors, ecolor="#444444")
            axes.text(upper * 1.08, place, f"{median:.1f}", va="center", fontsize=8)
    axes.set_yticks([len(labels) - i for i in range(len(labels))], labels, fontsize=9)
    axes.set_xscale("log")
    axes.margins(x=0.15)
    axes.set_xlabel("microseconds added to a request with 1 KiB of JSON (median, quartiles)")
    handles = [plt.Rectangle((0, 0), 1, 1, color=colour) for colour in COLOURS.values()]
    axes.legend(handles, ["first execution", "replay"], fontsize=8, loc="lower right")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.tight_layout()
    figure.savefig(target, metadata={"Date": None})


if __name__ == "__main__":
    main(*sys.argv[1:])
