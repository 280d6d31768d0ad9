"""The results as one picture: how much faster, and in how little memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import works
from bench.results import COMPILED, COPY, HAND, OURS, Results
from bench.work import Work

WORKS = works.TABLE[:3]
COLOURS = {
    OURS: "#0b6e4f",
    "losslang inductor": "#5fb08f",
    HAND: "#4a5568",
    COMPILED: "#8d99ae",
    "MONAI": "#c8553d",
    "MONAI DiceFocal": "#dd8a78",
    "smp": "#d9a441",
    "kornia": "#7b6d8d",
}
INK, MUTED, FAINT = "#1f2933", "#66737f", "#9aa5b1"


@dataclass(frozen=True)
class Bar:
    """One side of one work."""

    side: str
    speed: float | None
    memory: float | None


def bars(results: Results, work: Work) -> list[Bar]:
    """The sides of a work at its largest shape, with all threads."""
    shape, threads = work.largest, results.threads[-1]
    found = [
        Bar(side, results.ratio(work.name, shape, threads, side), results.gradients(work.name, shape, side))
        for side in results.sides(work.name, shape)
        if side != COPY
    ]
    return sorted(found, key=lambda bar: bar.side != OURS)


def draw(results: Results, file: Path) -> bool:
    """Writes the picture; False where there is nothing to show or nothing to draw it with."""
    groups = [(work, bars(results, work)) for work in WORKS]
    groups = [(work, found) for work, found in groups if any(bar.speed for bar in found)]
    if not groups:
        return False
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError:
        return False
    lines = sum(len(found) + 1.6 for _, found in groups)
    with mpl.rc_context({"font.size": 10, "font.family": "sans-serif", "text.color": INK}):
        figure = Figure(figsize=(11, 1.5 + 0.31 * lines), dpi=160, facecolor="white")
        axes = figure.subplots(1, 2, sharey=True)
        _fill(axes, groups)
        place = "GPU" if results.device == "cuda" else f"{results.threads[-1]} threads"
        _speed(axes[0], place)
        _memory(axes[1])
        figure.tight_layout(rect=(0, 0, 1, 1), w_pad=3)
        figure.savefig(file)
    return True


def _fill(axes: Any, groups: list[tuple[Work, list[Bar]]]) -> None:
    """The bars of both panels, from the top down; a work is named above its own."""
    row, places, names = 0.0, list[float](), list[str]()
    for work, found in groups:
        shape = " x ".join(map(str, work.largest))
        _head(axes[0], -row, work.program, INK, "bold")
        _head(axes[1], -row, shape, MUTED, "normal")
        for bar in found:
            row += 1
            colour = COLOURS.get(bar.side, FAINT)
            places.append(-row)
            names.append(bar.side)
            if bar.speed:
                axes[0].barh(-row, bar.speed - 1, left=1, height=0.74, color=colour)
                if bar.side == OURS:
                    axes[0].plot([1], [-row], "o", color=colour, markersize=7, zorder=3)
                _label(axes[0], max(bar.speed, 1), -row, bar.speed, bar.side)
            if bar.memory:
                axes[1].barh(-row, bar.memory, height=0.74, color=colour)
                _label(axes[1], bar.memory, -row, bar.memory, bar.side)
        row += 1.6
    axes[0].set_yticks(places, names)
    for tick, name in zip(axes[0].get_yticklabels(), names, strict=True):
        tick.set_color(INK)
        tick.set_fontweight("bold" if name == OURS else "normal")
    axes[0].set_ylim(-row + 0.9, 1.5)


def _label(axis: Any, x: float, y: float, value: float, side: str) -> None:
    text = f"{value:.0f}x" if value >= 9.95 else f"{value:.1f}x" if value >= 1.95 else f"{value:.2f}x"
    weight = "bold" if side == OURS else "normal"
    axis.annotate(text, (x, y), xytext=(8, -0.5), textcoords="offset points", va="center", weight=weight)


def _head(axis: Any, y: float, text: str, colour: str, weight: str) -> None:
    """A line over the bars of a work; on white, so that nothing is ruled through it."""
    box = {"facecolor": "white", "edgecolor": "none", "pad": 2.5}
    across = axis.get_yaxis_transform()
    axis.text(0, y, text, weight=weight, va="center", color=colour, transform=across, bbox=box)


def _title(axis: Any, text: str, below: str) -> None:
    axis.text(0, 1.006, text, transform=axis.transAxes, weight="bold", size=12, va="bottom")
    axis.text(0, 1, below, transform=axis.transAxes, color=MUTED, va="top")


def _speed(axis: Any, place: str) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    axis.set_xscale("log")
    low, high = axis.get_xlim()
    axis.set_xlim(min(low, 0.9), max(high, 2) * 1.35)
    ticks = [t for t in (0.25, 0.5, 1, 2, 4, 8, 16, 32, 64) if axis.get_xlim()[0] <= t <= axis.get_xlim()[1]]
    axis.xaxis.set_major_locator(FixedLocator(ticks))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(FuncFormatter(lambda t, _: f"{t:g}x"))
    axis.axvline(1, **_rule(axis), color=COLOURS[OURS], linewidth=1, zorder=0)
    _title(axis, "Time in units of losslang's", f"forward and backward, float32, {place}, log scale")
    _plain(axis)


def _memory(axis: Any) -> None:
    axis.set_xlim(0, axis.get_xlim()[1] * 1.12)
    axis.locator_params(axis="x", nbins=7, integer=True)
    axis.axvline(1, **_rule(axis), color=FAINT, linewidth=1, linestyle=(0, (3, 3)), zorder=0)
    _title(axis, "Peak memory in units of the gradient", "measured, the gradient included (dashed: 1)")
    axis.xaxis.set_major_formatter(lambda t, _: f"{t:g}x")
    _plain(axis)


def _rule(axis: Any) -> dict[str, float]:
    """From the bottom of the panel up to its first bar."""
    low, high = axis.get_ylim()
    return {"ymin": 0, "ymax": (-0.4 - low) / (high - low)}


def _plain(axis: Any) -> None:
    for name, spine in axis.spines.items():
        spine.set_visible(name == "bottom")
        spine.set_color(FAINT)
    axis.tick_params(axis="y", length=0)
    axis.tick_params(axis="x", color=FAINT, labelcolor=INK)
