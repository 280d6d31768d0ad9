"""Explanation: a program in words, term by term, with the source of every default.

    print(losslang.explain("0.5*bce(sigmoid) + dice"))    # the reading of a program
    print(losslang.explain("E301"))                       # the page of a mistake

`summary.summary` says the same in one line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.elsewhere import nearest
from losslang.diagnostics.errors import LossError
from losslang.diagnostics.mistakes import page, pages
from losslang.diagnostics.rendering import full
from losslang.diagnostics.source import Source, Span
from losslang.meaning.canonical import canonical
from losslang.meaning.checker import analyze
from losslang.meaning.expression_tree import node_of
from losslang.meaning.foreign_config import source_of_program
from losslang.meaning.meaning import (
    Apply,
    Constant,
    Expression,
    Input,
    LossUse,
    Term,
    is_static,
    loss_uses,
)
from losslang.meaning.program import Meaning
from losslang.meaning.ranges import of_one, of_program
from losslang.meaning.ranks import in_words
from losslang.meaning.splitting import why_not_split
from losslang.meaning.time import said_at
from losslang.meaning.use_in_words import Row, table, use_rows
from losslang.primitives.combinators import Combinator
from losslang.registry import current_registry
from losslang.syntax import formatter, tree

CODE = re.compile(r"[EeWw]\d{3}")
INDENT = "  "


def explain(text_or_code: str | Source) -> str:
    """Explains a program term by term, or prints the page of a mistake.

    Args:
        text_or_code: A program, a Source, or the code of a mistake such as "E301".

    Raises:
        LossError: The program has a mistake, or no mistake has the code.

    Example:
        >>> print(losslang.explain("mse"))
        mse
        <BLANKLINE>
        mse
          weight       1
          formula      e^2, e = prediction - target
          reads        pred against target
          activation   identity (default): pred is read as it stands
          reduction    mean (default): Σ v / n over the n counted values; weights do not change n
          range        0 and up
        <BLANKLINE>
        range of the total: 0 and up
        <BLANKLINE>
        over ranks: one all-reduce a step (mse)
        <BLANKLINE>
        fingerprint 856d77f9a1bc0bf3
    """
    source = source_of_program(text_or_code)
    if CODE.fullmatch(source.text.strip()):
        return _page(source.text.strip())
    return explained(source, {})


def explained(source: Source, overrides: Mapping[str, Any], at: Mapping[str, int] | None = None) -> str:
    """Explains a program with settings from outside, its weights at some time of the clocks, or at 0.

    Raises LossError if it has a mistake.
    """
    checked = analyze(source, overrides=overrides)
    if checked.meaning is None:
        raise LossError(checked.diagnostics)
    return "\n\n".join(_parts(checked.meaning, checked.diagnostics, at or {}))


def in_force(meaning: Meaning, at: Mapping[str, int]) -> str:
    """Explains a meaning, as `explain` does its text."""
    return "\n\n".join(_parts(meaning, (), at))


def _page(code: str) -> str:
    """The page of a mistake. Raises LossError for a code that does not exist."""
    known_page = page(code)
    if known_page is not None:
        return str(known_page)
    near = nearest(code.upper(), [known.code for known in pages()])
    fix = f"did you mean `{near}`?" if near else "the codes are E0xx to E5xx, and W for warnings"
    wrong = Diagnostic("E101", f"no mistake has the code `{code}`", Span(0, len(code)), fix=fix)
    raise LossError([wrong.at(Source(code))])


# ---------------------------------------------------------------------------- term by term


def _parts(meaning: Meaning, warnings: Sequence[Diagnostic], at: Mapping[str, int]) -> Iterator[str]:
    """The paragraphs of an explanation."""
    yield canonical(meaning, current_registry())
    for term in meaning.terms:
        if not term.dropped:
            yield "\n".join(_term(term, meaning.source, at))
    dropped = [term.name for term in meaning.terms if term.dropped]
    if dropped:
        names = ", ".join(f"`{name}`" for name in dropped)
        yield f"dropped, because a 0 is written in place: {names}"
    yield from map(full, warnings)
    yield f"range of the total: {of_program(meaning.terms, current_registry())}"
    yield f"over ranks: {in_words(meaning, current_registry())}"
    yield f"fingerprint {meaning.fingerprint}"


def _term(term: Term, source: Source, at: Mapping[str, int]) -> Iterator[str]:
    """The rows of one term: its weight, and its loss or its arithmetic."""
    yield term.name
    is_use = isinstance(term.body, LossUse)
    rows = list(_weights(term, at))
    if not is_use:
        rows += _computes(term.body)
    elif isinstance(term.body, LossUse):
        rows += use_rows(term.body, source)
    rows.append(("range", of_one(term, current_registry())))
    why = "" if term.metric else why_not_split(term, current_registry())
    if why:
        rows.append(("parts", f"cannot be split over micro-batches: {why}"))
    yield from table(rows, INDENT)
    for use in () if is_use else loss_uses(term):
        yield ""
        yield INDENT + use.name
        yield from table(use_rows(use, source), INDENT * 2)


def _weights(term: Term, at: Mapping[str, int]) -> Iterator[Row]:
    """The rows about a term's weight, its factor, and `metric`."""
    if term.metric:
        yield "metric", "logged, adds nothing to the total, has no gradient"
    if term.automatic is not None:
        combinator = current_registry().get(Combinator, term.automatic.method)
        formula = "" if combinator is None else f": {combinator.summary.rstrip('.')}"
        yield (
            "found",
            f"one more weight, for argument {term.automatic.member + 1} of "
            f"`{term.automatic.method}({', '.join(term.automatic.in_words())})`{formula}",
        )
    if term.factor is not None and is_static(term.factor):
        scheduled = term.factor
        if term.weight != 1:
            scheduled = Apply("*", (Constant(term.weight), scheduled))
        yield (
            "weight",
            f"{formatter.spell(node_of(scheduled, _by_name))}: {said_at(scheduled, at, current_registry())}",
        )
        return
    if not term.metric or term.weight != 1:
        yield "weight", formatter.number(float(f"{term.weight:.6g}"))
    if term.factor is not None:
        yield "times", f"{term.factor}, after the reduction"


def _computes(body: Expression) -> Iterator[Row]:
    match body:
        case Constant():
            yield "is", f"the constant {body}: it moves the total and trains nothing"
        case Input():
            yield "is", f"{body} as it stands: one number that the call hands over"
        case _:
            # The names alone: what each of them reads is said below.
            yield "computes", formatter.spell(node_of(body, _by_name))


def _by_name(use: LossUse) -> tree.Node:
    return tree.Call(name=use.name)
