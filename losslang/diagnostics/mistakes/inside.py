"""E38: what `diagnose` and `gradients` say of a call: numbers that are not finite, tensors that nothing reaches."""

from __future__ import annotations

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.mistakes import mistake
from losslang.diagnostics.source import Span


@mistake(
    "E380",
    form="python",
    example="loss = losslang.compile('mse')\n"
    "torch.func.vmap(lambda p: loss.gradients(p, p).norms)(torch.ones(2, 3))",
    repair="loss = losslang.compile('mse')\nloss.gradients(torch.ones(2, 3), torch.zeros(2, 3))",
)
def not_eager(span: Span, method: str) -> Diagnostic:
    """`diagnose` or `gradients` while torch compiles, exports or transforms the call.

    Both look at the numbers of one call, which are not there yet.
    """
    return Diagnostic(
        "",
        f"`{method}` looks at values, and here torch traces or transforms the call",
        span,
        caret="this loss",
        fix=f"call `loss.{method}(...)` outside of what is compiled, exported or transformed",
    )


@mistake(
    "E381",
    form="python",
    example="losslang.compile('l1').diagnose(torch.tensor([1.0, float('nan')]), torch.zeros(2))",
    repair="losslang.compile('l1').diagnose(torch.tensor([1.0, 2.0]), torch.zeros(2))",
)
def not_finite(span: Span, what: str, value: str, where: str, seen: str, *, is_read: bool) -> Diagnostic:
    """A value that is not finite: `diagnose` names the first step, operand and sample where it is.

    An operand is named where the call hands it over so; else the step that makes an infinity, or NaN, of
    finite numbers. What a mask leaves out is not looked at.
    """
    how = "is" if is_read else "gives"
    fix = (
        "see where this sample is from; `mask=` leaves places out"
        if is_read
        else "keep what it reads in the range where it is finite: `clip(x, low, high)`"
    )
    return Diagnostic("", f"{what} {how} {value}{where}", span, caret="first here", why=seen, fix=fix)


@mistake(
    "E382",
    form="python",
    example="losslang.compile('mean(log(pred))').diagnose(torch.tensor([1e-40, 1.0]))",
    repair="losslang.compile('mean(log(pred + 1e-6))').diagnose(torch.tensor([1e-40, 1.0]))",
)
def gradient_not_finite(span: Span, what: str, value: str, where: str, seen: str) -> Diagnostic:
    """A value that is finite, with a gradient that is not: `diagnose` names the first step of the way back.

    The derivative is an infinity, or beyond the type of the tensor: 1e-40 has a logarithm in float32, and
    1 / 1e-40 is more than float32 holds.
    """
    return Diagnostic(
        "",
        f"{what} hands back {value} as a gradient{where}, of a value that is finite",
        span,
        caret="first here",
        why=seen,
        fix="keep what it reads away from there: `clip(x, low, high)`, or `x + 1e-6`",
    )


@mistake(
    "E383",
    form="python",
    example="losslang.compile('mse').gradients(torch.ones(3), torch.zeros(3), wrt=torch.ones(3))",
    repair="shared = torch.ones(3, requires_grad=True)\n"
    "losslang.compile('mse').gradients(2*shared, torch.zeros(3), wrt=shared)",
)
def nothing_reached(span: Span, wanted: str) -> Diagnostic:
    """The gradients of a loss at tensors from which no term of this call is computed.

    `wrt` is a tensor, or a list of them, that asks for a gradient and from which the model computes the
    prediction: a shared feature, or a parameter. Without `wrt` it is what the terms read of `pred`.
    """
    return Diagnostic(
        "",
        f"no term of this call is computed from {wanted}",
        span,
        caret="these terms",
        fix="hand over a tensor with a gradient that the prediction is computed from: `wrt=features`",
    )
