"""One page: what every term did, and what the network makes of scans that it has never seen."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from task import Reading, Score, strokes

from losslang import Detail

TEXT, QUIET, RULE = "#1f2328", "#59636e", "#d8dee4"
LINES = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"]  # Okabe and Ito
PAPER, INK, ADDED, MISSED = "#f3f1ea", "#22303c", "#e8833a", "#8fc1e3"
AS_THEY_COME, MISTAKES = 10, 4  # how many held-out scans are shown of each
STEP, GAP = 1.1, 0.55  # from one scan to the next, whose side is 1; between the two groups
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 10.5,
    "text.color": TEXT,
    "axes.labelcolor": TEXT,
    "axes.edgecolor": QUIET,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "grid.color": RULE,
    "legend.frameon": False,
}


def draw(
    file: Path,
    loss: str,
    history: Sequence[Detail],
    held_out: Detail,
    scores: dict[str, Score],
    reading: Reading,
) -> Path:
    """Writes the page to `file`, a PNG, and returns it."""
    with plt.rc_context(STYLE):
        figure = plt.figure(figsize=(12, 9.4), dpi=160, facecolor="white")
        _heading(figure, loss, scores, len(reading.digit))
        grid = figure.add_gridspec(
            1, 2, left=0.075, right=0.97, top=0.78, bottom=0.455, wspace=0.2, width_ratios=(1.8, 1)
        )
        _contributions(figure.add_subplot(grid[0]), history, held_out)
        _metrics(figure.add_subplot(grid[1]), history, held_out)
        _scans(figure.add_axes((0.03, 0.015, 0.94, 0.375)), reading)
        file.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(file)
        plt.close(figure)
    return file


def _heading(figure: Figure, loss: str, scores: dict[str, Score], count: int) -> None:
    """What was trained on the left, what came of it on the right."""
    figure.text(0.03, 0.968, "Two heads, one loss", fontsize=20, weight="bold", va="top")
    code = re.sub(r" *#.*", "", loss).strip()
    mono = {"family": "DejaVu Sans Mono", "va": "top"}
    figure.text(0.03, 0.913, code, fontsize=10, linespacing=1.65, **mono)
    rows = [f"{name:<38}{reached.accuracy:>9.1%}{reached.iou:>9.3f}" for name, reached in scores.items()]
    rows = [f"{f'on {count} held-out scans':<38}{'digits':>9}{'IoU':>9}", *rows]
    for row, text in enumerate(rows):
        ours = row == len(rows) - 1
        style = {"weight": "bold", "color": TEXT} if ours else {"color": QUIET}
        figure.text(0.591, 0.935 - 0.024 * row, text, fontsize=9.5, **mono, **style)


# ---------------------------------------------------------------------------- curves


def _contributions(axes: Axes, history: Sequence[Detail], held_out: Detail) -> None:
    """What each trained term adds to the total."""
    for color, index in zip(_colors(), np.flatnonzero(held_out.weights), strict=False):
        adds = [mean.contributions[index].item() for mean in history]
        _curve(axes, adds, held_out.contributions[index].item(), held_out.names[index], color=color)
    total = [mean.total.item() for mean in history]
    _curve(axes, total, held_out.total.item(), "total", color=TEXT, linestyle=(0, (4, 1.5)))
    if all(np.min(line.get_ydata()) > 0 for line in axes.lines):
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_title("What each term adds to the loss")
    axes.set_ylabel("weight × value  (cross entropies in nats)")
    _over_epochs(axes, columns=2)


def _metrics(axes: Axes, history: Sequence[Detail], held_out: Detail) -> None:
    """What is only logged."""
    for color, index in zip(_colors(3), np.flatnonzero(held_out.weights == 0), strict=False):
        values = [mean.values[index].item() for mean in history]
        _curve(axes, values, held_out.values[index].item(), held_out.names[index], color=color)
    axes.set_ylim(bottom=0)
    axes.set_title("What is only logged")
    axes.set_ylabel("value  (share of digits wrong)")
    _over_epochs(axes)


def _curve(axes: Axes, values: list[float], held_out: float, label: str, **style: Any) -> None:
    """A line over the epochs, and a ring at its end for the held-out scans."""
    axes.plot(range(1, len(values) + 1), values, linewidth=2, label=label, **style)
    axes.plot(
        len(values), held_out, "o", markersize=7, mfc="white", mew=1.8, color=style["color"], clip_on=False
    )


def _over_epochs(axes: Axes, columns: int = 1) -> None:
    """What both panels share: the axis of epochs, the rules, the legend."""
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    axes.grid(axis="y")
    lines, _ = axes.get_legend_handles_labels()
    ring = Line2D([], [], marker="o", linestyle="", mfc="white", mew=1.8, color=QUIET, label="held out")
    axes.legend(handles=[*lines, ring], loc="best", ncols=columns)


def _colors(first: int = 0) -> islice[str]:
    return islice(cycle(LINES), first, None)


# ---------------------------------------------------------------------------- scans


def _scans(axes: Axes, reading: Reading) -> None:
    """The first held-out scans as they come, then the first mistakes after them."""
    wrong = (reading.digit != reading.truth.digit).nonzero().flatten().tolist()
    mistakes = [index for index in wrong if index >= AS_THEY_COME][:MISTAKES]
    for column, index in enumerate([*range(AS_THEY_COME), *mistakes]):
        _column(axes, column * STEP + (column >= AS_THEY_COME) * GAP, reading, index)
    for row, label in enumerate(("what the\nnetwork sees", "true\nstrokes", "strokes\nfound")):
        axes.text(-0.2, -row * STEP - 0.5, label, ha="right", va="center", color=QUIET)
    axes.text(0, 0.2, f"The first {AS_THEY_COME} held-out scans", weight="bold", fontsize=12)
    if mistakes:
        axes.text(AS_THEY_COME * STEP + GAP, 0.2, "The next mistakes", weight="bold", fontsize=12)
    axes.text(0, -3 * STEP - 0.72, "digit shown; in red: digit shown → digit read", color=QUIET, va="center")
    axes.set(xlim=(-1.5, 14 * STEP + GAP), ylim=(-3 * STEP - 0.9, 0.7), aspect="equal")
    axes.set_axis_off()
    kinds = {"found": INK, "added": ADDED, "missed": MISSED}
    patches = [Patch(facecolor=color, label=label) for label, color in kinds.items()]
    axes.legend(handles=patches, loc="lower right", ncols=3, borderpad=0)


def _column(axes: Axes, left: float, reading: Reading, index: int) -> None:
    """One scan from top to bottom: damaged, its true strokes, the strokes found, the digit read."""
    true, found = strokes(reading.truth.clean[index, 0]).numpy(), reading.mask[index, 0].numpy()
    # Noise also makes pixels lighter than paper and darker than ink: these are drawn as paper and ink.
    grey = reading.damaged[index, 0].clamp(0, 1).numpy()[..., None]
    seen = (1 - grey) * np.array(to_rgb(PAPER)) + grey * np.array(to_rgb(INK))
    for row, tile in enumerate((seen, _paint(true, true), _paint(true, found))):
        axes.imshow(tile, extent=(left, left + 1, -row * STEP - 1, -row * STEP), interpolation="nearest")
    digit, read = reading.truth.digit[index].item(), reading.digit[index].item()
    said = {"s": str(digit)} if digit == read else {"s": f"{digit} → {read}", "color": "#c0392b"}
    axes.text(left + 0.5, -3 * STEP - 0.12, ha="center", va="top", fontsize=11.5, weight="bold", **said)


def _paint(true: np.ndarray, found: np.ndarray) -> np.ndarray:
    """The masks as colours: strokes found, added and missed."""
    palette = np.array([to_rgb(color) for color in (PAPER, ADDED, MISSED, INK)])
    return palette[2 * true + found]
