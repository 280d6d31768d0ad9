"""E34 and E54: functions along axes of a tensor."""

from __future__ import annotations

import re
from collections.abc import Sequence

from losslang.diagnostics.diagnostic import Diagnostic, Label
from losslang.diagnostics.mistakes import mistake
from losslang.diagnostics.source import Span


@mistake("E343", example="mean(softmax(pred)**2)", repair="mean(softmax(pred, dim=1)**2)")
def no_axis(span: Span, name: str, argument: str) -> Diagnostic:
    """A function along an axis that does not say which.

    `dim` counts the axes of the tensor as it is handed over: 1 is the second, -1 the last.
    """
    fix = f"write `{name}({argument}, dim=1)`, or `dim=-1` for the last axis"
    usual = {"softmax": "dice", "log_softmax": "nll", "normalize": "infonce"}.get(name)
    fix += f"; as an activation it stands in a loss: `{usual}({name})`" if usual else ""
    return Diagnostic("", f"along which axis `{name}` runs is not said", span, fix=fix)


@mistake("E344", example="max(3, dim=1)*ce", repair="3*ce")
def axis_of_a_number(span: Span, name: str, argument: str) -> Diagnostic:
    """An axis of a number, which has none."""
    return Diagnostic(
        "",
        f"`{argument}` is a number: it has no axis for `{name}`",
        span,
        fix="hand over a tensor, as `pred`",
    )


@mistake("E345", example="mean(max(pred, 0, dim=1))", repair="mean(max(max(pred, dim=1), 0))")
def axis_of_several(span: Span, name: str, argument: str) -> Diagnostic:
    """`max` or `min` of two, with an axis.

    Of two or more they take the larger or the smaller, element by element; along an axis they take that of
    one tensor.
    """
    return Diagnostic(
        "",
        f"`{name}` of two or more takes no axis",
        span,
        fix=f"reduce one of them first: `{name}({name}({argument}, dim=...), ...)`",
    )


@mistake("E346", example="logsumexp(mse)", repair="mse(reduction=logsumexp)")
def of_a_loss(span: Span, name: str, body: str, inner: Span) -> Diagnostic:
    """A function along axes of a loss, which is one number already.

    How the values of a loss become one number is its `reduction=`: `topk`, `quantile`, `logsumexp`, ...
    Functions along axes read tensors: `logsumexp(pred, dim=1)`.
    """
    call = body.removesuffix(")") + ", " if body.endswith(")") else f"{body}("
    is_plain = re.fullmatch(r"\w+(\(.*\))?", body) is not None
    bounds = {"max": f"`max({body}, 0.1)` is at least 0.1", "min": f"`min({body}, 5)` is at most 5"}
    reductions = {
        "logsumexp": f"`{call}reduction=logsumexp)`",
        "max": f"`{call}reduction=topk(frac=0.1))` takes its hardest values",
    }
    fixes = [bounds.get(name, ""), reductions.get(name, "") if is_plain else ""]
    fix = "; ".join(filter(None, fixes)) or f"`{name}` reads a tensor: `{name}(pred, dim=1)`"
    return Diagnostic(
        "",
        f"`{name}` needs values to run over: `{body}` is one number",
        span,
        labels=(Label(inner, "reduced already"),),
        fix=fix,
    )


@mistake(
    "E543",
    form="python",
    example="losslang.compile('mean(logsumexp(pred, dim=3))')(torch.randn(2, 5))",
    repair="losslang.compile('mean(logsumexp(pred, dim=1))')(torch.randn(2, 5))",
)
def beyond_axes(span: Span, term: str, operand: str, shape: Sequence[int], dim: int) -> Diagnostic:
    """An axis that a tensor does not have, or that is named twice.

    `dim` counts the axes as they are handed over, 0 the first, -1 the last.
    """
    rank = len(shape)
    axes = f"from {-rank} to {rank - 1}" if rank else "and a number has none"
    twice = -rank <= dim < rank
    said = f"names axis {dim} of it twice" if twice else f"is {dim}"
    return Diagnostic(
        "",
        f"`{term}`: `{operand}` is {tuple(shape)}, and `dim` {said}",
        span,
        fix="name it once" if twice else f"its axes are counted {axes}",
    )


@mistake(
    "E544",
    form="python",
    example="losslang.compile('mean(max(pred, dim=1))')(torch.randn(2, 0))",
    repair="losslang.compile('mean(max(pred, dim=1))')(torch.randn(2, 3))",
)
def of_nothing(span: Span, term: str, operand: str, shape: Sequence[int], name: str) -> Diagnostic:
    """The largest or the smallest of no elements."""
    return Diagnostic(
        "",
        f"`{term}`: `{name}` of `{operand}`, which is {tuple(shape)}: there is nothing to take it of",
        span,
        fix="skip the call of an empty batch",
    )
