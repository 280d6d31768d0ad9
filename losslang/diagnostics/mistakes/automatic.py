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
    """`wrt` of a combinator is no tensor that a loss is computed from."""
    return Diagnostic(
        "",
        f"`{name}` can not measure gradients at `{found}`",
        span,
        fix="a path to a tensor of the model: `wrt=pred.features`, `wrt=batch.shared`",
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


@mistake("E336", example="sqrt(balance(ce, dice))", repair="balance(sqrt(ce), sqrt(dice))")
def weighed_terms_only(span: Span, name: str, outside: str) -> Diagnostic:
    """Weights that are found in every call, in arithmetic that needs a number.

    What `balance` and its kind weigh are terms of the total. They may be multiplied by numbers and schedules
    and added to others; functions, powers, divisions, `each`, `metric` and tensor factors belong inside.
    """
    return Diagnostic(
        "",
        f"`{name}` weighs terms of the total, and stands inside of `{outside}` here",
        span,
        fix=f"inside of its arguments: `{name}(sqrt(a), sqrt(b))`",
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
def weight_is_lost(span: Span, weight: str, body: str) -> Diagnostic:
    """A weight inside of `balance`, which gives each argument its share whatever it is multiplied by."""
    return Diagnostic(
        "",
        f"the weight {weight} has no effect: `balance` gives each argument its share of the gradient",
        span,
        fix=f"write `{body}`, and the shares: `balance(..., shares=[1, 2])`",
    )


@mistake("E339", example="mse + gradmatch(mse, l1)", repair="mse + gradmatch(mse, l1)*l1")
def weighs_nothing(span: Span, name: str) -> Diagnostic:
    """A weight that multiplies no loss.

    `gradmatch(a, b)` is the weight with which the gradient of b is as long as that of a, and no loss itself:
    it has no gradient.
    """
    return Diagnostic(
        "", f"`{name}(a, b)` is a weight, and multiplies nothing", span, fix=f"`a + {name}(a, b)*b`"
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
def not_computed_from(span: Span, name: str, path: str, *, needs_gradient: bool) -> Diagnostic:
    """Gradients are measured at a tensor that no loss is computed from, so that all of them are nothing.

    It has to be the very tensor that the model goes on with, or a parameter of it: a copy, and what is
    detached, is not part of the graph.
    """
    found = "is no part of the graph of any of its losses" if needs_gradient else "asks for no gradient"
    return Diagnostic(
        "",
        f"`{name}` measures gradients at `{path}`, which {found}",
        span,
        fix="hand over the tensor that the predictions are computed from, as the model has it",
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
        fix="call the loss outside of it, or weigh by values: `dwa`, `relobralo`, `uncertainty`",
    )
