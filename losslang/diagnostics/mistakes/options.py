"""E2: arguments and options that a name does not take."""

from __future__ import annotations

from collections.abc import Sequence

from losslang.diagnostics.diagnostic import Diagnostic, Label
from losslang.diagnostics.elsewhere import nearest
from losslang.diagnostics.elsewhere.options import CHOICES
from losslang.diagnostics.mistakes import mistake
from losslang.diagnostics.source import Span

SHOWN = 5
"""How many of the options that a name takes are printed."""


@mistake("E201", example="dice(sigmoid, smoth=1)",
         repair="dice(sigmoid, smooth=1)")  # fmt: skip
def unknown_option(span: Span, owner: str, name: str, known: Sequence[str], fix: str = "") -> Diagnostic:
    """An option that this loss, activation or reduction does not have.

    `losslang show NAME` lists those that it has. Options of other libraries are answered with ours.
    """
    if near := nearest(name, known) if not fix else "":
        fix = f"did you mean `{near}`?"
    elif not fix and known:
        more = f", ...: `losslang show {owner}` lists all" if len(known) > SHOWN else ""
        fix = f"it takes {', '.join(f'`{k}`' for k in known[:SHOWN])}{more}"
    return Diagnostic(
        "", f"`{owner}` has no option `{name}`", span, caret="unknown", fix=fix or "it takes no options"
    )


LIMITS = {
    ("tweedie", "p", "`1`"): "`poisson_nll`",
    ("tweedie", "p", "`2`"): "`gamma_nll`",
    ("gce", "q", "`0`"): "`ce`",
    ("charbonnier", "eps", "`0`"): "`l1`",
}
"""Values at the end of what an option may be, where the loss is another one."""


@mistake("E230", example="cldice(sigmoid, iters=ramp(3, 10, epochs=50))",
         repair="until(epochs=50)*cldice(sigmoid, iters=3) + after(epochs=50)*cldice(sigmoid, iters=10)")  # fmt: skip
def takes_no_path(
    span: Span, owner: str, name: str, path: str, wanted: str, *, kind: str, why: str, switched: str
) -> Diagnostic:
    """An option that has to be known before anything runs is given a tensor or a schedule.

    It decides a shape, how many operations there are, or which formula runs. All options that enter a formula
    as a number take a path and a schedule: `losslang show huber` says "or a path" of them. They are tensors
    of one number, within the bounds of a written one, and the gradient flows into them.
    """
    because = f": {why}" if why else ""
    told = f"; for another from a step on: `{switched}`" if switched else ""
    return Diagnostic(
        "",
        f"`{name}` of `{owner}` takes no {kind}{because}",
        span,
        caret=f"`{path}` is known only when it runs",
        fix=f"write `{name}=...` with {wanted}{told}",
    )


@mistake("E202", example="dice(sigmoid, smooth=-1)", repair="dice(sigmoid, smooth=1)")
def bad_value(span: Span, owner: str, name: str, found: str, wanted: str, fix: str = "") -> Diagnostic:
    """The value of an option has the wrong type, or lies outside of its bounds.

    At the end of its bounds a loss may be another one: `tweedie` at 1 is `poisson_nll`, at 2 `gamma_nll`.
    A number that multiplies a whole loss stands before it: `2*quantile`.
    """
    if (owner, name, found) in LIMITS:
        fix = f"that is {LIMITS[owner, name, found]}"
    elif (name, found.strip("`")) in CHOICES:
        fix = f"here it is `{name}={CHOICES[name, found.strip('`')]}`"
    return Diagnostic(
        "",
        f"`{name}` of `{owner}` cannot be {found}",
        span,
        caret=f"must be {wanted}",
        fix=fix or f"write `{name}=...` with {wanted}",
    )


@mistake("E203", example="dice(sigmoid, smooth=1, smooth=2)", repair="dice(sigmoid, smooth=2)")
def given_twice(span: Span, name: str, first: Span) -> Diagnostic:
    """One option is given twice."""
    return Diagnostic(
        "", f"`{name}` is given twice", span, labels=(Label(first, "first here"),), fix="remove one"
    )


@mistake("E204", example="clip(ce)", repair="clip(ce, 0, 1)")
def wrong_count(span: Span, name: str, found: int, wanted: str, fix: str = "") -> Diagnostic:
    """A call has too few or too many arguments."""
    said = f"`{name}` takes {wanted}, not {found}" + f" argument{'s' * (found != 1)}" * bool(fix)
    return Diagnostic("", said, span, fix=fix or f"write {wanted}")


@mistake("E205", example="mse(class_weight=[1, 2])", repair="ce(class_weight=[1, 2])")
def does_not_apply(span: Span, owner: str, name: str, why: str, fix: str = "") -> Diagnostic:
    """An option that has nothing to work on.

    `class_weight` needs classes, `batch`, `background` and `empty` a loss of regions, `pos_weight` a
    yes-or-no loss, `ignore_index` a target of classes: what a loss without them leaves out is `mask=`. An
    option without effect is refused, never ignored.
    """
    said = f"`{name}` has no meaning for `{owner}`: {why}"
    return Diagnostic("", said, span, fix=fix or "remove the option")


@mistake("E347", example="1 - ssim(reduction=topk)", repair="dssim(reduction=topk)")
def best_ranked(span: Span, name: str, reduction: str, fix: str) -> Diagnostic:
    """A reduction that takes the largest values, of an index that is large where the prediction is good.

    `1 - ssim(reduction=topk)` would train the pixels that are learned best: 1 stands beside what is reduced.
    """
    return Diagnostic(
        "",
        f"`{reduction}` takes the largest values, which of `{name}` are the best ones",
        span,
        why="what is hard would have no gradient",
        fix=fix,
    )


@mistake("E206", example="l1(reduction=sum, avg_factor=10)", repair="l1(avg_factor=10)")
def contradict(span: Span, first: str, second: str, why: str, fix: str) -> Diagnostic:
    """Two options that cannot both hold."""
    return Diagnostic("", f"`{first}` and `{second}` contradict each other: {why}", span, fix=fix)


@mistake("E207", example="rec = l1; rec(beta=2)", repair="rec = smooth_l1(beta=2); rec")
def arguments_of_name(span: Span, name: str) -> Diagnostic:
    """A bound name is called. Names stand for expressions, not for functions."""
    return Diagnostic(
        "",
        f"`{name}` is a name bound above and takes no arguments",
        span,
        fix="put the options into the line that binds it",
    )
