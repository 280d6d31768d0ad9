"""A sweep as one picture: a line for each row, a field for each size."""

from __future__ import annotations

from math import log2
from pathlib import Path
from typing import Any

from bench.picture import FAINT, INK, MUTED
from bench.sweep_points import Sweep

GREEN, WHITE, RED = "#0b6e4f", "#f7f7f2", "#c8553d"
LEAST, MOST = 1 / 8, 4
"""Ratios at the ends of the colours."""


def draw(sweep: Sweep, file: Path) -> bool:
    """Writes the picture; False where there is nothing to show or nothing to draw it with."""
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError:
        return False
    if not sweep.points:
        return False
    width, height = 3.6 + 2.4 * len(sweep.panels), 1.6 + 0.2 * len(sweep.rows)
    with mpl.rc_context({"font.size": 8, "font.family": "sans-serif", "text.color": INK}):
        figure = Figure(figsize=(width, height), dpi=160, facecolor="white", layout="constrained")
        axes = figure.subplots(1, len(sweep.panels), sharey=True, squeeze=False)[0]
        mesh = None
        for axis, panel in zip(axes, sweep.panels, strict=True):
            mesh = _fill(axis, sweep, panel)
        axes[0].set_yticks(range(len(sweep.rows)), [_short(", ".join(row)) for row in sweep.rows])
        _legend(figure, axes, mesh)
        figure.savefig(file)
    return True


def _short(name: str) -> str:
    name = name.removeprefix("random, ").replace("(sigmoid)", "").replace("(softmax)", "")
    return name if len(name) <= 46 else f"{name[:45]}…"


def _fill(axis: Any, sweep: Sweep, panel: tuple[int, str]) -> Any:
    import numpy as np
    from matplotlib.colors import LinearSegmentedColormap, TwoSlopeNorm

    field = np.full((len(sweep.rows), len(sweep.sizes)), np.nan)
    slow: list[tuple[int, int]] = []
    for y, row in enumerate(sweep.rows):
        for point in sweep.of(row, panel):
            x = sweep.sizes.index(point.size)
            field[y, x] = log2(point.ratio)
            if not point.holds:
                slow.append((x, y))
    colours = LinearSegmentedColormap.from_list("ratio", [GREEN, WHITE, RED])
    norm = TwoSlopeNorm(0, log2(LEAST), log2(MOST))
    mesh = axis.imshow(field, cmap=colours, norm=norm, aspect="auto", interpolation="nearest")
    axis.plot([x for x, _ in slow], [y for _, y in slow], ".", color=INK, markersize=3)
    threads, dtype = panel
    axis.set_title(f"{dtype}, {threads} thread{'s' * (threads > 1)}", loc="left", weight="bold", size=9)
    marks = [
        i
        for i, size in enumerate(sweep.sizes)
        if round(2 * log2(size)) % 8 == 0 and abs(2 * log2(size) % 1 - 0.5) > 0.4
    ]
    axis.set_xticks(marks, [f"$2^{{{round(log2(sweep.sizes[i]))}}}$" for i in marks])
    axis.tick_params(length=0, labelcolor=INK)
    for spine in axis.spines.values():
        spine.set_color(FAINT)
    return mesh


def _legend(figure: Any, axes: Any, mesh: Any) -> None:
    ticks = [1 / 8, 1 / 4, 1 / 2, 1, 2, 4]
    bar = figure.colorbar(
        mesh, ax=list(axes), location="bottom", fraction=0.03, pad=0.02, aspect=60, extend="both"
    )
    bar.set_ticks([log2(t) for t in ticks], labels=[f"{t:g}x" for t in ticks])
    text = "Time of losslang, by hand = 1; dots: above 1.15x and 10 us"
    bar.set_label(text, color=MUTED)
    bar.outline.set_visible(False)
