"""Explanation of a call: the rows of WAYS that it passes, the reason for each, and the steps that compute."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import indent
from typing import Any

from losslang.plan.plan import Plan, Step
from losslang.runtime.blocks import Walker
from losslang.runtime.closed import ClosedFormEvaluator
from losslang.runtime.closed.sigmoid import Sigmoid
from losslang.runtime.closed.softmax import Softmax
from losslang.runtime.closed.tape import Tape
from losslang.runtime.executor import Dispatch, Executor
from losslang.runtime.program import Program
from losslang.runtime.ways import WAYS, Way

PAD = "   "


def explain(executor: Executor, roots: Sequence[Any], look: int) -> str:
    """The ways of a call with these roots, in the order in which it passes them; the last one computes.

    Nothing is computed but what decides the way.
    """
    parts: list[str] = []
    plan = executor.plan
    for number, (way, programs, plan) in enumerate(_passed(executor, roots, look), 1):
        parts.append(f"{number}. {way.name}, because {way.because}:\n{PAD}{way.does}\n")
        for role, own in programs:
            parts += [f"{PAD}{role}:\n"] if role else []
            parts.append(
                indent("\n".join(_shown(own, plan, is_last=not role)) + "\n", PAD * (2 if role else 1))
            )
    return "".join(parts).rstrip()


def explain_traced(executor: Executor) -> str:
    """The same of a call that torch traces: it passes one row."""
    way = WAYS[0]
    steps = "\n".join(_shown(executor.traced, executor.plan, is_last=True, reads=False))
    return f"1. {way.name}, because {way.because}:\n{PAD}{way.does}\n{indent(steps, PAD)}"


def names_of_ways(executor: Executor, roots: Sequence[Any], look: int) -> list[str]:
    """The names of the rows that a call passes."""
    return [way.name for way, _, _ in _passed(executor, roots, look)]


def _passed(
    executor: Executor, roots: Sequence[Any], look: int
) -> Iterator[tuple[Way, list[tuple[str, Program]], Plan]]:
    inputs = executor.read(*roots)
    handed: tuple[Dispatch, Sequence[Any]] | None = executor.case(inputs).dispatch(look), inputs
    while handed is not None:
        dispatch, inputs = handed
        way, runner = dispatch.choose(inputs)
        yield way, runner.programs(), dispatch.case.executor.plan
        handed = runner.next(inputs)


def _shown(program: Program, plan: Plan, *, is_last: bool, reads: bool = True) -> Iterator[str]:
    """The steps of a program as they run, and what they read before; the total, if they compute it."""
    if reads and is_last:
        yield from map(str, plan.inputs)
    for step in program.steps:
        yield from [str(step)] if isinstance(step, Step) else _walk(step)
    if is_last:
        yield str(Plan((), plan.outputs)).rpartition("\n")[2]


def _walk(walked: Walker) -> Iterator[str]:
    """A walk: its blocks, the steps that each of them computes, its sums, and the tapes of a closed form."""
    walk, cut, closed = walked.walk, walked.autograd.cut, walked.closed
    number, rows = len(cut.blocks), f", {cut.rows} of {cut.shape[2]} rows" if len(cut.shape) > 2 else ""
    first, *rest = str(walk).split("\n")
    yield f"{first} in {number} block{'s' * (number > 1)} of {cut.samples} of {cut.shape[0]} samples{rows}"
    yield from rest
    if not isinstance(closed, ClosedFormEvaluator):
        yield "  backward: torch differentiates the steps, block by block"
        return
    for index, (_, own) in enumerate(closed.ends):
        yield f"  closed form of sum {index + 1}: {', '.join(f'Σ {part}' for part in str(own).split(', '))}"
    for title, tape in _tapes(closed.formulas):
        yield f"  {title}"
        yield from (f"    {line}" for line in tape.lines or [_as_given(tape)])


def _tapes(formulas: Sigmoid | Softmax) -> Iterator[tuple[str, Tape]]:
    """The tapes that run in every block, if the target is of labels or of 0 and 1, with what each computes."""
    if isinstance(formulas, Softmax):
        for index, piece in enumerate(formulas.pieces, 1):
            if piece.dense is not None:
                yield f"forward, piece {index}, of every element:", piece.dense
            if piece.placed is not None:
                yield f"forward, piece {index}, of the class of every label:", piece.placed
        yield "backward, of every element:", formulas.slope.plain
        yield "backward, of the class of every label:", formulas.chain.plain
    else:
        yield "forward:", formulas.hard.saving_tape if formulas.saves_probs else formulas.hard.tape
        yield (
            "backward:",
            (formulas.hard.slope_of_saved if formulas.saves_probs else formulas.hard.slope).plain,
        )


def _as_given(tape: Tape) -> str:
    """What a tape without operations hands on: one of the tensors that it is given, or a number."""
    (slot,) = tape.results
    return f"{tape.given[slot]} as it stands" if slot < len(tape.given) else "numbers"
