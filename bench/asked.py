"""What losslang promises of its speed and memory, beside what was measured."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bench import works
from bench.masked import CARELESS, MASKED
from bench.results import COMPILED, FLAT, HAND, INDUCTOR, OURS, PARTS, PLAIN, Results, What
from bench.work import Shape, Work
from bench.worker import CONFIG

GRAIN = 1.005
"""Two peaks that differ by less than this are equal: pages are counted, not bytes."""

BCE, CE, THREE, *_, DEEP, METAS, _ = works.TABLE
TOKENS, LINEAR, LAST = works.HEAVY
SMALL = tuple(work for work in works.TABLE if work.name in ("bce+dice", "ce+dice", "focal+dice+tversky"))


@dataclass(frozen=True)
class Row:
    """One promise. `holds` is None where it was not measured."""

    work: str
    against: str
    asked: str
    measured: str
    holds: bool | None


def rows(results: Results) -> tuple[Row, ...]:
    """Every promise, in the order of the project's goals."""
    return tuple(_rows(results))


def _rows(r: Results) -> Iterator[Row]:
    for against in (HAND, "MONAI"):
        yield _faster(r, BCE, against, 3.5)
    yield _peak(r, BCE, BCE.largest, 1.15)
    yield _faster(r, CE, "MONAI", 4)
    yield _peak(r, CE, CE.largest, 1.3)
    yield _faster(r, THREE, "MONAI", 5)
    for work in (BCE, CE, THREE):
        yield _faster(r, work, COMPILED, 0.95, INDUCTOR)
        yield _no_more_memory(r, work, INDUCTOR, COMPILED)
    yield _faster(r, METAS, PLAIN, 0.95)
    yield _little_more_memory(r, METAS, PLAIN)
    for shape in DEEP.timed:
        yield _no_slower(r, DEEP, shape, PARTS, 1.05)
    for work in MASKED:
        for shape in work.timed:
            yield _no_slower(r, work, shape, HAND, 1.1)
        if work.libraries:
            yield _no_slower(r, work, work.largest, CARELESS, 1.3)
    yield _registry(r)
    for work in SMALL:
        yield _small(r, work)
    for shape in TOKENS.timed:
        yield _peak(r, TOKENS, shape, 1.05)
    yield _faster(r, LAST, FLAT, 0.95)
    yield _little_more_memory(r, LAST, FLAT)
    yield _less_memory(r, LINEAR, 10)
    yield _faster(r, LINEAR, HAND, 1)
    ratios = {n: r.ratio(CONFIG, (), n, "Hydra") for n in r.threads}
    yield _row(f"`compile()` of `{works.MISSION}`, warm", "Hydra `instantiate`", "2x faster", ratios, least=2)


def named(work: Work, shape: Shape) -> str:
    kind = ", MetaTensors" if work is METAS else ""
    return f"`{work.program}`, {'x'.join(map(str, shape))}{kind}"


def times(ratio: float) -> str:
    if ratio < 0.095:
        return f"{ratio:.1g}x"
    return f"{ratio:.2f}x" if ratio < 9.95 else f"{ratio:.1f}x"


def _row(
    work: str, against: str, asked: str, ratios: dict[int, float | None], *, least: float = 0, most: float = 0
) -> Row:
    """A row of one ratio for every number of threads; all that were measured have to hold."""
    found = {threads: ratio for threads, ratio in ratios.items() if ratio is not None}
    if not found:
        return Row(work, against, asked, "not measured", None)
    several = len(found) > 1
    text = ", ".join(
        times(ratio) + (f" ({n} thread{'s' * (n > 1)})" if several else "") for n, ratio in found.items()
    )
    holds = all(ratio >= least and (not most or ratio <= most) for ratio in found.values())
    return Row(work, against, asked, text, holds)


def _faster(r: Results, work: Work, over: str, least: float, of: str = OURS) -> Row:
    shape = work.timed[0] if work.heavy else work.largest
    title = named(work, shape) + (', `fuse="inductor"`' if of == INDUCTOR else "")
    asked = f"at least {least:g}x its speed" if least <= 1 else f"{least:g}x faster"
    return _row(
        title, over, asked, {n: r.ratio(work.name, shape, n, over, of) for n in r.threads}, least=least
    )


def _no_slower(r: Results, work: Work, shape: Shape, over: str, most: float) -> Row:
    """The time over that of another side, forward and backward."""
    ratios = {n: r.ratio(work.name, shape, n, OURS, over) for n in r.threads}
    return _row(named(work, shape), over, f"time at most {most:g}x", ratios, most=most)


def _peak(r: Results, work: Work, shape: Shape, most: float) -> Row:
    """The peak of memory in gradients, with the others' beside it."""
    title, asked = named(work, shape), f"peak memory at most {most:g}x the gradient"
    ours = r.gradients(work.name, shape, OURS)
    if ours is None:
        return Row(title, "the gradient", asked, "not measured", None)
    others = {side: r.gradients(work.name, shape, side) for side in (HAND, "MONAI")}
    told = ", ".join(f"{side}: {times(peak)}" for side, peak in others.items() if peak is not None)
    return Row(title, "the gradient", asked, times(ours) + (f" ({told})" if told else ""), ours <= most)


def _no_more_memory(r: Results, work: Work, of: str, over: str) -> Row:
    title, asked = named(work, work.largest) + ', `fuse="inductor"`', "peak memory at most equal"
    ours, theirs = (r.peak(work.name, work.largest, side) for side in (of, over))
    ratio = ours / theirs if ours is not None and theirs else None
    return _row(title, over, asked, {0: ratio}, most=GRAIN)


def _little_more_memory(r: Results, work: Work, over: str) -> Row:
    shape = work.timed[0]
    ours, theirs = (r.peak(work.name, shape, side) for side in (OURS, over))
    ratio = ours / theirs if ours is not None and theirs else None
    return _row(named(work, shape), over, "peak memory at most 1.05x", {0: ratio}, most=1.05)


def _less_memory(r: Results, work: Work, least: float) -> Row:
    shape = work.timed[0]
    ours, theirs = (r.peak(work.name, shape, side) for side in (OURS, HAND))
    ratio = theirs / ours if ours and theirs is not None else None
    return _row(named(work, shape), HAND, f"peak memory {least:g}x lower", {0: ratio}, least=least)


def worst(r: Results, work: Work) -> tuple[float, What, int] | None:
    """Our time over that by hand where it is largest: of forward and backward, as all that is asked.

    What has no gradient is judged by its forward pass.
    """
    shape = work.timed[0]
    passes: tuple[What, ...] = ("both", "forward")
    for what in passes:
        found = [(r.ratio(work.name, shape, n, OURS, HAND, what), what, n) for n in r.threads]
        known = [(ratio, what, n) for ratio, what, n in found if ratio is not None]
        if known:
            return max(known)
    return None


def _registry(r: Results) -> Row:
    title, asked = "every loss of the registry, 1 MB of prediction", "time at most 1.1x, forward and backward"
    found = {work.name: worst(r, work) for work in works.REGISTRY}
    slow = {name: case[0] for name, case in found.items() if case is not None}
    if not slow:
        return Row(title, HAND, asked, "not measured", None)
    above = sorted((name for name in slow if slow[name] > 1.1), key=slow.__getitem__, reverse=True)
    told = f"{len(slow) - len(above)} of {len(slow)} hold"
    if above:
        told += "; above: " + ", ".join(f"`{name}` {times(slow[name])}" for name in above)
    return Row(title, HAND, asked, told, not above)


def _small(r: Results, work: Work) -> Row:
    shape, asked = work.timed[0], "time at most 1.15x"
    case = worst(r, work)
    if case is None:
        return Row(named(work, shape), HAND, asked, "not measured", None)
    passes: dict[What, str] = {"forward": "forward", "both": "forward and backward"}
    told = ", ".join(
        f"{words} {times(ratio)}"
        for what, words in passes.items()
        if (
            ratio := max(
                (x for n in r.threads if (x := r.ratio(work.name, shape, n, OURS, HAND, what))), default=0
            )
        )
    )
    return Row(named(work, shape), HAND, asked, told, case[0] <= 1.15)
