"""E35: parameters that are learned with the loss, and combinators."""

from __future__ import annotations

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.mistakes import mistake
from losslang.diagnostics.source import Span


@mistake("E350", example="exp(-learn(0))*ce + dice", repair="s = learn(0); exp(-s)*ce + s + dice")
def anonymous(span: Span, call: str) -> Diagnostic:
    """A parameter without a name.

    The name that `learn` is bound to is that of the parameter in the module, in its checkpoints and in
    messages: `s = learn(0)` is `learned.s`. One name is one parameter, wherever it is used.
    """
    return Diagnostic(
        "", "what is learned needs a name", span, fix=f"bind it: `s = {call};`, and write `s` here"
    )


@mistake("E351", example="s = learn(); exp(-s)*ce + s", repair="s = learn(0); exp(-s)*ce + s")
def no_start(span: Span, name: str, call: str) -> Diagnostic:
    """`learn` takes one number: where the parameter starts."""
    return Diagnostic(
        "", f"`{call}` does not say where `{name}` starts", span, fix=f"one number: `{name} = learn(0)`"
    )


@mistake("E352", example="s = learn(0, min=1); exp(-s)*ce + s", repair="s = learn(1, min=1); exp(-s)*ce + s")
def starts_outside(span: Span, name: str, start: float, low: float | None, high: float | None) -> Diagnostic:
    """A parameter starts outside of its bounds, where it has no gradient."""
    bounds = " and ".join(
        f"{word} {bound:g}" for word, bound in (("at least", low), ("at most", high)) if bound is not None
    )
    inside = low if low is not None and start < low else high
    return Diagnostic(
        "",
        f"`{name}` starts at {start:g}, and its bounds are {bounds}",
        span,
        fix=f"start within them: `learn({inside:g}, ...)`",
    )


@mistake("E353", example="uncertainty()", repair="uncertainty(ce, dice)")
def no_losses(span: Span, name: str) -> Diagnostic:
    """A combinator without losses."""
    return Diagnostic("", f"`{name}` weighs losses, and there are none", span, fix=f"`{name}(ce, dice)`")


@mistake("E354", example="uncertainty(ce, 2)", repair="uncertainty(ce, dice)")
def not_a_loss(span: Span, name: str, found: str) -> Diagnostic:
    """An argument of a combinator that is no loss: a number, or a metric."""
    return Diagnostic(
        "",
        f"`{name}` weighs losses, and `{found}` is none",
        span,
        fix=f"leave it out, or add it behind: `{name}(...) + {found}`",
    )


@mistake("E355", example="w = learn(1); w*ce", repair="w = learn(0); exp(-w)*ce + w")
def unbounded(span: Span, name: str, fix: str, *, is_endless: bool) -> Diagnostic:
    """A learned weight without a price.

    `w*ce` is smallest where w is minus infinity, and `exp(-s)*ce` where s is infinite: that is where the
    optimizer drives them. A weight as `exp(-s)` stays above 0, and `+ s` is what a small weight costs: at its
    best `exp(-s)` is 1 over the loss.
    """
    where = "the total falls without end" if is_endless else "its weight becomes nothing"
    return Diagnostic(
        "",
        f"nothing holds the learned `{name}`: {where}",
        span,
        why="the optimizer moves it on and on, and the loss is no longer trained",
        fix=fix,
    )


@mistake(
    "W344",
    example="uncertainty(mse@a, after(steps=1000)*mse@b)",
    repair="uncertainty(mse@a) + after(steps=1000)*uncertainty(mse@b)",
)
def held_for_a_time(span: Span, name: str, factor: str, fix: str) -> Diagnostic:
    """A schedule turns a loss off, and what its learned weight costs goes on being trained.

    While the loss is 0 the price alone moves the weight, further at every step: after 1000 steps of Adam at
    0.01 it is in the thousands. The schedule multiplies both: the loss and its price.
    """
    return Diagnostic(
        "",
        f"nothing holds the learned `{name}` while `{factor}` is 0",
        span,
        why="the price of the weight is trained then, and its loss is not: the weight runs away",
        fix=fix,
    )


@mistake("W356", example="dice(sigmoid) - bce(sigmoid)", repair="dice(sigmoid) + bce(sigmoid)")
def falls_without_end(span: Span, loss: str, *, is_endless: bool) -> Diagnostic:
    """A loss is subtracted: training makes it as large as it can.

    Where it has no largest value, as `ce`, the total falls without end. An index of which more is better, as
    `ssim`, may be subtracted, and so may what reads no target, as an entropy, and tensors of the call, as the
    score of a critic.
    """
    endless = ", without end" if is_endless else ""
    return Diagnostic(
        "",
        f"`{loss}` is subtracted, and smaller is better of it: it is trained to be large{endless}",
        span,
        fix=f"add it, or hand over what is meant: `{loss}@(pred, batch.other)`"
        if not is_endless
        else f"add it, or hold it: `-min({loss}, 5)`",
    )


@mistake(
    "E357",
    form="python",
    example="""loss = losslang.compile("s = learn(0); exp(-s)*mse + s")
loss.check_optimizer(torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1))""",
    repair="""loss = losslang.compile("s = learn(0); exp(-s)*mse + s")
loss.check_optimizer(torch.optim.SGD(loss.param_groups(), lr=0.1))""",
)
def not_in_optimizer(span: Span, names: tuple[str, ...]) -> Diagnostic:
    """Parameters of the loss that the optimizer does not have.

    They have a gradient and never move: the weights stay where they start. `loss.param_groups()` gives them
    to an optimizer as a group of its own, without weight decay.
    """
    listed = ", ".join(f"`{name}`" for name in names)
    return Diagnostic(
        "",
        f"the optimizer does not have {listed}",
        span,
        why="the parameters would stay where they start",
        fix="hand them over: `Optimizer([{'params': model.parameters()}, *loss.param_groups()], lr=...)`",
    )
