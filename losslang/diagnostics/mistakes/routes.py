"""E3: routes that lead to no tensor, or to two."""

from __future__ import annotations

from losslang.diagnostics.diagnostic import Diagnostic, Label
from losslang.diagnostics.mistakes import mistake
from losslang.diagnostics.source import Span


@mistake("E309", example="seg = ce; seg@mask", repair="seg = ce@mask; seg")
def nothing_to_route(span: Span, body: str, fix: str = "") -> Diagnostic:
    """`@` behind something that it cannot route.

    A number reads no tensor, and a name that is bound above keeps the tensors of the line that binds
    it. The `@` would change nothing.
    """
    return Diagnostic(
        "",
        f"nothing in `{body}` is routed by what follows",
        span,
        caret="keeps its own tensors",
        fix=fix or "put `@` behind a loss, or into the line that binds the name",
    )


@mistake(
    "E330",
    example="(ce@fine + l1)@(pred.a, target.b)",
    repair="(ce@(pred.a.fine, target.b.fine) + l1)@(pred.a, target.b)",
)
def head_among_operands(span: Span, head: str, operands: Span, fix: str) -> Diagnostic:
    """A head inside of a group that is handed its operands.

    `@head` re-roots the paths of its group, and heads nest. `@(a, b)` hands two tensors to the losses of its
    group and leaves every path alone, so that a head inside says no tensor.
    """
    return Diagnostic(
        "",
        f"the head `{head}` stands in a group that is handed its tensors",
        span,
        labels=(Label(operands, "handed over here"),),
        fix=f"write the path: `{fix}`",
    )


@mistake(
    "E331",
    example="gaussian_nll(variance=pred.var)@depth",
    repair="gaussian_nll(pred=pred.mu, variance=pred.var)@depth",
)
def tensor_with_parts(span: Span, name: str, whole: str, part: str, other: Span, fix: str) -> Diagnostic:
    """A loss reads a value as a tensor, and a part of it by a path.

    A mapping has parts and a tensor has none. Where a model returns a mapping, as `{"mu": ..., "var": ...}`,
    the prediction is a part of it too. `@head` re-roots the paths of options; `@(a, b)` leaves them alone.
    """
    return Diagnostic(
        "",
        f"`{name}` reads `{whole}` as a tensor, and `{part}` as a part of it",
        span,
        labels=(Label(other, "as a tensor"),),
        fix=fix,
    )
