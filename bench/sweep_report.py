"""A sweep as a page of Markdown."""

from __future__ import annotations

from collections.abc import Iterator
from math import log2

from bench.report import duration, table
from bench.sweep_points import MOST, SPARE, Point, Sweep

HEAD = f"""\
losslang's time over that of the hand-written form, forward and backward, at 2^10 to 2^26 elements: below 1
losslang is faster. Allowed are {MOST} times the time by hand, or {SPARE * 1e6:.0f} us more. By hand a mask is `torch.where`, so
that what does not count may be NaN; of `ce` it becomes the label to ignore. *Ignored* are a tenth of the labels,
*weights* are those of classes. With one thread it is the time on the processor, with two that of the clock."""


def page(sweep: Sweep, image: str | None) -> str:
    """Everything that was measured."""
    parts = [
        "# Every size",
        "Written by `make bench-sweep`; bench/sweep_rows.py has the rows.",
        table(("", ""), list(sweep.machine.items())),
        HEAD,
        f"![ratios]({image})" if image else "",
        "## The largest ratio of each row",
        _largest(sweep),
        "## What is above that",
        summary(sweep),
        _above(sweep),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def summary(sweep: Sweep) -> str:
    """How many points are too slow, and how many were with the losslang of the commit."""
    above = sum(not point.holds for point in sweep.points)
    text = f"{above} of {len(sweep.points)} points."
    if sweep.against:
        then = sum(point.then is not None and point.then > point.allowed for point in sweep.points)
        text += f" At {sweep.against}: {then}."
    return text


def line(point: Point) -> str:
    """A point in one line, for the terminal."""
    then = "" if point.then is None else f", then {point.then:.2f}"
    return (
        f"  {point.ratio:.2f} of {duration(point.by_hand)}{then}: {point.family}, {point.variant}, {power(point.size)},"
        f" {point.threads} threads, {point.dtype}"
    )


def power(size: int) -> str:
    return f"2^{log2(size):.1f}".removesuffix(".0")


def _panels(sweep: Sweep) -> Iterator[str]:
    for threads, dtype in sweep.panels:
        yield f"{dtype}, {threads} thread{'s' * (threads > 1)}"


def _largest(sweep: Sweep) -> str:
    """By how much a row is beside what is allowed at its slowest size."""
    lines: list[list[str]] = []
    for row in sweep.rows:
        cells = [f"{row[0]}, {row[1]}"]
        for panel in sweep.panels:
            found = sweep.of(row, panel)
            if not found:
                cells.append("-")
                continue
            worst = max(found, key=lambda point: point.ratio / point.allowed)
            shown = f"{worst.ratio:.2f}" if worst.holds else f"**{worst.ratio:.2f}**"
            cells.append(f"{shown} at {power(worst.size)}")
        lines.append(cells)
    return table(("row", *_panels(sweep)), lines, left=1)


def _above(sweep: Sweep) -> str:
    """The points of each row that are too slow, as sizes with their ratios."""
    lines: list[list[str]] = []
    for row in sweep.rows:
        for panel, name in zip(sweep.panels, _panels(sweep), strict=True):
            found = [point for point in sweep.of(row, panel) if not point.holds]
            if found:
                text = ", ".join(f"{power(point.size)}: {point.ratio:.2f}" for point in found)
                lines.append([f"{row[0]}, {row[1]}", name, text])
    return table(("row", "with", "size: ratio"), lines, left=3) if lines else ""
