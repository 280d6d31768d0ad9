"""E33, E54: weights that are found in every call."""

from __future__ import annotations

from collections.abc import Sequence

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.mistakes import mistake
from losslang.diagnostics.source import Span


@mistake("E332", example="balance(ce)", repair="balance(ce, dice)")
def nothing_to_weigh_against(span: Span, name: str, arguments: Sequence[str]) -> Diagnostic:
    """A combinator that weighs losses against each other, with less than two of them."""
    found = f"there is only `{arguments[0]}`" if arguments else "there are none"
    beside = f"`{name}({arguments[0] if arguments else 'ce'}, dice)`"
    return Diagnostic(
        "", f"`{name}` weighs losses against each other, and {found}", span, fix=f"two or more: {beside}"
    )


@mistake("E333", example="gradnorm(ce, dice)", repair="gradnorm(ce, dice, wrt=pred.features)")
def where_to_measure(span: Span, name: str, arguments: str) -> Diagnostic:
    """A combinator is not told at which tensor the gradients are measured.

    That is the last tensor, or the last parameter, that all tasks share, and it is read from the call:
    `wrt=pred.features` for a tensor that the model hands over beside its predictions, `wrt=batch.shared` for
    a keyword of the call, such as `loss(pred, target, shared=model.neck.weight)`.
    """
    return Diagnostic(
        "",
        f"`{name}` is not told where gradients are measured",
        span,
        why="the last parameter of a model belongs to one head, which the other losses do not reach",
        fix=f"name what all share: `{name}({arguments}, wrt=pred.features)`",
    )


@mistake("E334", example="balance(ce, dice, wrt=target)", repair="balance(ce, dice, wrt=pred.features)")
def no_tensor_to_measure_at(span: Span, name: str, found: str) -> Diagnostic:
    """`wrt` of a combinator is no path to a tensor that a loss is computed from.

    It is read from the call: `wrt=pred.features` for a tensor that the model hands over beside its
    predictions, `wrt=batch.shared` for a keyword, as in `loss(pred, target, shared=model.neck.weight)`.
    """
    known = found.strip("'\"")
    word = known if known.isidentifier() and known != "target" else "features"
    return Diagnostic(
        "",
        f"`{name}` can not measure gradients at `{found}`",
        span,
        fix=f"a path: `wrt=pred.{word}` of what the model returns, or `wrt=batch.{word}` and `loss(..., {word}=...)`",
    )


@mistake("E335", example="balance(ce, dwa(dice, mse))", repair="balance(ce, dice, mse)")
def weighed_twice(span: Span, name: str, found: str, inner: str) -> Diagnostic:
    """A combinator weighs what another one weighs already."""
    return Diagnostic(
        "",
        f"`{inner}` finds the weights of `{found}`, and `{name}` can not find them too",
        span,
        fix=f"write all losses into one call: `{name}(a, b, c)`",
    )


@mistake("E336", example="sqrt(balance(ce, dice))", repair="0.5*balance(sqrt(ce), sqrt(dice))")
def weighed_terms_only(span: Span, name: str, outside: str) -> Diagnostic:
    """Weights that are found in every call, in arithmetic that needs a number.

    What `balance` and its kind weigh are terms of the total. They may be multiplied by numbers and schedules
    and added to others; functions, powers, divisions, `each`, `metric` and tensor factors belong inside.
    """
    return Diagnostic(
        "",
        f"`{name}` weighs terms of the total, and stands inside of `{outside}` here",
        span,
        fix=f"beside other terms, times a number or a schedule: `0.5*{name}(a, b) + c`; the rest inside of `a` and `b`",
    )


@mistake("E337", example="balance(ce, dice, shares=[1, 1, 1])", repair="balance(ce, dice, shares=[2, 1])")
def shares_do_not_fit(span: Span, name: str, count: int, wanted: int) -> Diagnostic:
    """`shares` has a number for each argument."""
    return Diagnostic(
        "",
        f"`shares` of `{name}` has {count} numbers for {wanted} losses",
        span,
        fix=f"one for each: `shares=[{', '.join(['1'] * wanted)}]`",
    )


@mistake("W338", example="balance(0.5*ce, dice)", repair="balance(ce, dice, shares=[1, 2])")
def weight_is_no_share(span: Span, name: str, weight: str) -> Diagnostic:
    """A weight of a whole argument of `balance`, which gives each its share whatever it is multiplied by.

    It makes the whole sum longer or shorter, and no argument heavier beside the others: neither does a
    schedule. Shares are numbers: `shares=[1, 2]`. What comes in later stands beside the call, or is a term of
    a sum in it: `balance(a + ramp(0, 1, epochs=3)*b, c)`.
    """
    return Diagnostic(
        "",
        f"the weight `{weight}` is no share: `{name}` gives each argument its own, whatever it is multiplied by",
        span,
        fix="leave it out; `shares=[...]` has a number for each argument",
    )


@mistake("E358", example="balance(ce, 1e-4*l2_reg)", repair="balance(ce, dice) + 1e-4*l2_reg")
def reads_no_prediction(span: Span, name: str, found: str) -> Diagnostic:
    """Gradients are measured at the predictions, and a loss reads none: it has no gradient there."""
    return Diagnostic(
        "",
        f"`{name}` measures gradients at the predictions, and `{found}` reads none",
        span,
        fix=f"add it behind, `{name}(...) + {found}`, or name a tensor that all losses are computed from: `wrt=batch.shared`",
    )


@mistake("E339", example="mse + gradmatch(mse, l1)", repair="mse + gradmatch(mse, l1)*l1")
def weighs_nothing(span: Span, name: str) -> Diagnostic:
    """A weight that multiplies no loss: it stands alone, in an option, or in what a loss reads.

    `gradmatch(a, b)` is the weight with which the gradient of b is as long as that of a, and no loss itself:
    it has no gradient.
    """
    return Diagnostic(
        "",
        f"`{name}(a, b)` is the weight of a term, and multiplies none here",
        span,
        fix=f"`a + {name}(a, b)*b`",
    )


@mistake(
    "E545",
    form="python",
    example="""loss = losslang.compile("balance(mse, l1, wrt=batch.shared)")
loss(torch.zeros(2, requires_grad=True), torch.ones(2), shared=torch.zeros(2))""",
    repair="""loss = losslang.compile("balance(mse, l1, wrt=batch.shared)")
shared = torch.zeros(2, requires_grad=True)
loss(2 * shared, torch.ones(2), shared=shared)""",
)
def not_computed_from(span: Span, name: str, path: str, losses: Sequence[str]) -> Diagnostic:
    """Gradients are measured where a loss has none: its weight would be as large as it may be.

    A tensor that is named has to be the very one that the model goes on with, or a parameter of it, and all
    losses have to be computed from it: the last layer of one head is not shared. A copy, and what is
    detached, is not part of the graph. Without a name it is the predictions, and each loss has to read one
    that asks for a gradient.
    """
    listed = " and ".join(f"`{loss}`" for loss in losses)
    verb = "are" if len(losses) > 1 else "is"
    return Diagnostic(
        "",
        f"`{name}` measures gradients at {path}, and {listed} {verb} not computed from it",
        span,
        fix="name a tensor that all of them are computed from, as the model has it: `wrt=pred.features`",
    )


@mistake(
    "E547",
    form="python",
    example="""loss = losslang.compile("balance(mse, l1, wrt=batch.shared)")
loss(torch.zeros(2, requires_grad=True), torch.ones(2))""",
    repair="""loss = losslang.compile("balance(mse, l1, wrt=batch.shared)")
shared = torch.zeros(2, requires_grad=True)
loss(2 * shared, torch.ones(2), shared=shared)""",
)
def not_handed_over(span: Span, name: str, path: str) -> Diagnostic:
    """The tensor at which gradients are measured is not in the call. In evaluation it is not needed."""
    return Diagnostic(
        "",
        f"`{name}` measures gradients at {path}, which this call does not have",
        span,
        fix="hand it over in training: `loss(pred, target, shared=model.neck.weight)` for `wrt=batch.shared`",
    )


@mistake(
    "E546",
    form="python",
    example="""loss = losslang.compile("balance(mse, l1)")
torch.func.grad(loss)(torch.zeros(2), torch.ones(2))""",
    repair="""loss = losslang.compile("balance(mse, l1)")
pred = torch.zeros(2, requires_grad=True)
loss(pred, torch.ones(2)).backward()""",
)
def measures_gradients(span: Span, name: str, where: str) -> Diagnostic:
    """A combinator that measures gradients in a call, where torch can not give them inside of one."""
    return Diagnostic(
        "",
        f"`{name}` measures gradients in every call, and {where} has none to give inside of it",
        span,
        fix="call the loss outside of it, or in evaluation, `loss.eval()`, with the weights of the last step",
    )
