"""Summaries: a program on one line, as a person would write it, with what was inferred."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from losslang.meaning.meaning import Apply, Constant, Expression, Input, LossUse, Meaning, Term, loss_of, show
from losslang.registry import current_registry
from losslang.syntax import formatter

SUMS = ("+", "-", "neg")


def summary(meaning: Meaning) -> str:
    """A program on one line, each loss with the activation that it takes and the term that this is from.

    `0.5*bce(sigmoid) + dice(sigmoid, from bce)`
    """
    first, *rest = [_addend(term, len(meaning.terms) == 1) for term in meaning.terms]
    joined = "".join(f" - {part[1:]}" if part.startswith("-") else f" + {part}" for part in rest)
    return first + joined


def _addend(term: Term, alone: bool) -> str:
    """One term of the sum, with its weight and its sign."""
    body = str(brief(term.body, _called))
    bare = alone and term.weight == 1 and term.factor is None
    if isinstance(term.body, Apply) and term.body.operator in SUMS and not bare:
        body = f"({body})"
    if term.factor is not None:
        body = f"{_bracketed(term.factor)}*{body}"
    if abs(term.weight) != 1:
        body = f"{short_number(abs(term.weight))}*{body}"
    body = f"-{body}" if term.weight < 0 else body
    return f"metric({body})" if term.metric else body


def brief(expression: Expression, spell: Callable[[LossUse], str]) -> Expression:
    """`expression` with `spell(use)` in the place of every use, and `a - b` for `a + -1*b`."""
    match expression:
        case LossUse():
            return Input(spell(expression))
        case Apply("+", (left, Apply("*", (Constant(value), right)))) if abs(value) == 1:
            return Apply("+" if value > 0 else "-", (brief(left, spell), brief(right, spell)))
        case Apply(arguments=arguments):
            return replace(expression, arguments=tuple(brief(part, spell) for part in arguments))
        case _:
            return expression


def _called(use: LossUse) -> str:
    """One use of a loss: `dice(sigmoid, from bce)@seg`."""
    inside = ", ".join(filter(None, (_activated(use), *_taken(use))))
    called = (f"{use.loss}({inside})" if inside else use.loss) + _route(use)
    if use.scale != 1 or use.shift:
        called = f"({affine(use, called)})"
    return called if use.factor is None else f"{_bracketed(use.factor)}*{called}"


def _activated(use: LossUse) -> str:
    """The activation of a use: `sigmoid, from bce`; '' where a loss of values reads them as they are."""
    chosen = str(use.activation)
    if (
        use.origin == "default"
        and chosen == "identity"
        and loss_of(use, current_registry()).wants not in ("probs", "log_probs")
    ):
        return ""
    if use.origin in ("written", "default"):
        return chosen
    return f"{chosen}, assumed" if use.origin == "assumed" else f"{chosen}, from {use.origin}"


def _taken(use: LossUse) -> list[str]:
    """The universal options that another term wrote: `ignore_index=255, from ce`."""
    return [f"{name}={show(use.get(name))}, from {owner}" for name, owner in use.taken]


def _route(use: LossUse) -> str:
    """The route of a use: `@seg` or `@(pred.a, batch.b)`; '' for `pred` against `target`."""
    operands = [operand for _, operand in use.operands]
    prediction = operands[0]
    if isinstance(prediction, Input) and prediction.root == "pred":
        if operands[1:] in ([], [Input("target", prediction.steps, soft=True)]):
            steps = str(prediction).removeprefix("pred")
            # An index or a slice needs its root: `@[0:1]` is not a route.
            return f"@pred{steps}" if steps.startswith("[") else steps.replace(".", "@", 1)
    return f"@({', '.join(map(str, operands))})"


def affine(use: LossUse, value: str) -> str:
    """The text of `scale*v + shift`: `1 - v`."""
    made = Apply("*", (Constant(use.scale), Input(value)))
    return str(brief(Apply("+", (Constant(use.shift), made)), str))


def short_number(value: float) -> str:
    """A weight to six digits: 1 - 0.9 is shown as 0.1."""
    return formatter.number(float(f"{value:.6g}"))


def _bracketed(expression: Expression) -> str:
    compound = isinstance(expression, Apply) and expression.operator in (*SUMS, "*", "/", "**")
    return f"({expression})" if compound else str(expression)
