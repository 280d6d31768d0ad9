"""The results as a page of Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from bench import asked as promises
from bench import works
from bench.asked import times
from bench.results import COPY, HAND, OURS, Results, What
from bench.work import Shape, Work
from bench.worker import CONFIG, NEW_TEXT

NOTES = """\
- Times are medians of rounds in which all sides run in turns, in one process, warmed up, each side held to
  the hand-written form's value and gradient first. *Forward and backward* starts without gradients, as after
  `zero_grad`. Each number of threads has a process of its own.
- *To losslang* is a side's time over that of losslang, forward and backward, with all threads: above 1
  losslang is faster.
- *Peak* is what one forward and backward holds at most beyond what was there before, the gradient included:
  {memory}.
  It is also given in units of the bytes of all gradients.
- *Copy* is no loss: the bytes that any implementation has to move (inputs read once, gradient written once)
  at the measured speed of a copy between tensors that are there already."""
MEMORY = {
    "cpu": "the high-water mark of the process's resident memory, which the kernel keeps",
    "cuda": "the high-water mark of torch's allocator",
}
COMMAND = {"cpu": "make bench", "cuda": "python -m bench --device cuda"}
ASKED = {
    "cpu": "",
    "cuda": "What is asked is asked of a CPU; these are the same rows, beside it. A tensor of a megabyte is nothing"
    " to a GPU: its time is that of starting operations, so what is compared is how many there are.",
}
ROUNDED = """\
- By hand a convolution is left to cuDNN as it is by default, rounded to TF32; losslang's are not. That is why the
  two give other numbers for `ssim`."""


def page(results: Results, image: str | None) -> str:
    """Everything that was measured."""
    parts = [
        "# Results",
        f"Written by `{COMMAND[results.device]}`; what the rows are is said in [README.md](README.md)."
        + (" A quick run: few rounds, not all sides." if results.quick else ""),
        _machine(results),
        f"![speed and memory]({image})" if image else "",
        "## Asked and measured",
        ASKED[results.device],
        asked(results),
        "## Side by side",
        *(part for work in (*works.TABLE, *works.HEAVY) for part in _work(results, work)),
        *_config(results),
        "## Every loss by itself",
        _registry(results),
        "## How to read it",
        NOTES.format(memory=MEMORY[results.device]) + (f"\n{ROUNDED}" if results.device == "cuda" else ""),
        *_missing(results),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def asked(results: Results) -> str:
    """The promises, and whether each holds."""
    words = {True: "yes", False: "**no**", None: "-"}
    on_a_gpu = results.device == "cuda"
    lines = [
        (r.work, r.against, r.asked, r.measured, words[None if on_a_gpu else r.holds])
        for r in promises.rows(results)
    ]
    return table(("work", "against", "asked", "measured", "holds"), lines)


def duration(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    for unit, factor in (("s", 1), ("ms", 1e3)):
        if seconds * factor >= 1:
            return f"{_three(seconds * factor)} {unit}"
    return f"{_three(seconds * 1e6)} us"


def size(count: float | None) -> str:
    return "-" if count is None else f"{_three(count / 1e6)} MB"


def _three(value: float) -> str:
    """Three figures are more than a timing has."""
    return f"{value:.0f}" if value >= 99.5 else f"{value:.3g}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], left: int = 5) -> str:
    """A Markdown table; columns after the first `left` are numbers and stand to the right."""
    rule = [":--" if i < left else "--:" for i in range(len(head))]
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, rule, *rows))


def _machine(results: Results) -> str:
    return table(("", ""), list(results.machine.items()))


def _threads(results: Results) -> Iterator[tuple[int, str]]:
    """The numbers of threads with their words for a heading; a GPU has none."""
    for n in results.threads:
        yield n, "" if results.device == "cuda" else f", {n} thread{'s' * (n > 1)}"


PASSES: dict[What, str] = {"forward": "forward", "both": "forward and backward"}


def _work(results: Results, work: Work) -> Iterator[str]:
    """A heading, and a table for every shape."""
    shapes = [shape for shape in work.timed if results.sides(work.name, shape)]
    if not shapes:
        return
    yield f"### {work.name}: `{work.program}`"
    if work.note:
        yield work.note
    for shape in shapes:
        yield f"Prediction {_shape(work, shape)}:"
        yield _sides(results, work, shape)


def _shape(work: Work, shape: Shape) -> str:
    return (
        "x".join(map(str, shape))
        + (" (tokens, classes)" if work.name == "tokens" else "")
        + (" (tokens, width, classes)" if work.name == "linear" else "")
    )


def _sides(r: Results, work: Work, shape: Shape) -> str:
    timed = [(n, words, what) for n, words in _threads(r) for what in PASSES if _any(r, work, shape, n, what)]
    peaks = any(r.peak(work.name, shape, side) is not None for side in r.sides(work.name, shape))
    head = ["", *(PASSES[what] + words for _, words, what in timed), *(["to losslang"] if timed else [])]
    rows: list[list[str]] = []
    for side in sorted(r.sides(work.name, shape), key=lambda side: (side != OURS, side == COPY)):
        row = [f"**{side}**" if side == OURS else side]
        row += [duration(r.seconds(work.name, shape, side, n, what)) for n, _, what in timed]
        if timed:
            ratio = r.ratio(work.name, shape, timed[-1][0], side)
            row.append(times(ratio) if ratio is not None else "-")
        if peaks:
            units = r.gradients(work.name, shape, side)
            row += [size(r.peak(work.name, shape, side)), times(units) if units is not None else "-"]
        rows.append(row)
    return table([*head, *(["peak", "in gradients"] if peaks else [])], rows, left=1)


def _any(r: Results, work: Work, shape: Shape, threads: int, what: What) -> bool:
    return any(r.seconds(work.name, shape, side, threads, what) for side in r.sides(work.name, shape))


def _config(r: Results) -> Iterator[str]:
    found = [n for n in r.threads if r.ratio(CONFIG, (), n, "Hydra") is not None]
    if found:
        yield "### Building a loss"
        yield (
            f"`losslang.compile({works.MISSION!r})`, warm, and Hydra's `instantiate` of two nodes:"
            " `torch.nn.BCEWithLogitsLoss` and a small dice module."
        )
        rows = [
            (side, duration(r.seconds(CONFIG, (), side, found[-1]))) for side in (OURS, NEW_TEXT, "Hydra")
        ]
        yield table(("", "median"), rows, left=1)


def _registry(r: Results) -> str:
    """The time of each loss over that by hand."""
    timed = [(n, words, what) for n, words in _threads(r) for what in PASSES]
    rows: list[list[str]] = []
    for work in works.REGISTRY:
        shape = work.timed[0]
        ratios = [r.ratio(work.name, shape, n, OURS, HAND, what) for n, _, what in timed]
        if any(ratios):
            program = f"`{work.program}`"
            rows.append(
                [program, "x".join(map(str, shape)), *("-" if x is None else f"{x:.2f}" for x in ratios)]
            )
    if not rows:
        return "Not measured."
    head = ["program", "prediction", *(PASSES[what] + words for _, words, what in timed)]
    return f"losslang's time over that of the hand-written form: below 1 losslang is faster.\n\n{table(head, rows, 2)}"


def _missing(results: Results) -> Iterator[str]:
    lines = [f"- {note}" for note in results.notes()]
    if results.missing:
        lines.append("- no hand-written form: " + ", ".join(f"`{name}`" for name in results.missing))
    if lines:
        yield "## What is missing"
        yield "\n".join(lines)
