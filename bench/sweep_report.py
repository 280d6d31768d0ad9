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
*weights* are those of classes. In half precision the form by hand converts to float32 first, as torch.autocast
does for torch's own losses. With one thread it is the time on the processor, with two that of the clock."""


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
        *_as_given(sweep),
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


AS_GIVEN = """\
The form by hand that computes in half precision as it is given takes less time in the middle, and loses digits:
the error is that of its value, as a part of it, at the largest size of which it was computed. losslang computes
in float32."""


def _as_given(sweep: Sweep) -> Iterator[str]:
    """How rows in half precision compare with forms by hand that do not convert."""
    lines: list[list[str]] = []
    for row in sweep.rows:
        for panel, name in zip(sweep.panels, _panels(sweep), strict=True):
            found = [(point.as_given, point) for point in sweep.of(row, panel) if point.as_given is not None]
            if found:
                (low, first), (high, last) = (end(found, key=lambda pair: pair[0]) for end in (min, max))
                error = next((p.error for _, p in reversed(found) if p.error is not None), None)
                off = "" if error is None else f"{error:.0e}"
                ends = [
                    f"{ratio:.2f} at {power(point.size)}" for ratio, point in ((low, first), (high, last))
                ]
                lines.append([f"{row[0]}, {row[1]}", name, *ends, off])
    if lines:
        yield "## Beside half precision as it is given"
        yield AS_GIVEN
        yield table(("row", "with", "least", "most", "error by hand"), lines, left=2)
