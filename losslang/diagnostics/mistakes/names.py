"""E1: names that do not exist, or are not what they are used as."""

from __future__ import annotations

from collections.abc import Sequence

from losslang.diagnostics.diagnostic import Diagnostic, Label
from losslang.diagnostics.elsewhere import spelled, what_instead
from losslang.diagnostics.mistakes import mistake
from losslang.diagnostics.source import Span


@mistake("E101", example="0.5*bce(sigmoid) + dise", repair="0.5*bce(sigmoid) + dice")
def unknown_name(span: Span, name: str, what: str, known: Sequence[str], fix: str = "") -> Diagnostic:
    """A name that nobody has defined.

    It is no loss of the registry, no function and no name bound above. `losslang list` shows all
    names; `losslang show NAME` one of them. A number is bound first, `alpha = 0.5; alpha*ce`, and a tensor
    of the call is read by its path, `batch.valid`. Classes of other libraries are refused with our spelling,
    because their defaults differ.
    """
    fix = fix or what_instead(name, tuple(known))
    return Diagnostic("", f"there is no {what} `{name}`", span, caret="unknown", fix=fix)


@mistake("E103", example="ce(topk)", repair="ce(reduction=topk)")
def wrong_kind(span: Span, name: str, found: str, wanted: str, fix: str) -> Diagnostic:
    """A name stands where another kind of name belongs.

    A loss takes an activation as its one positional argument; a reduction is the value of
    `reduction=`; functions work on numbers, tensors and reduced losses.
    """
    article = "an" if found[0] in "aeiou" else "a"
    return Diagnostic("", f"`{name}` is {article} {found}, and {wanted} belongs here", span, fix=fix)


@mistake("E104", example="rec = l1; seg = ce; rec", repair="rec = l1; seg = ce; rec + seg")
def unused(span: Span, name: str) -> Diagnostic:
    """A name is bound and never used: a term that silently does not train."""
    return Diagnostic(
        "",
        f"`{name}` is never used",
        span,
        why="the term would silently not be trained",
        fix=f"use it: `... + {name}`, or remove the line",
    )


@mistake("E105", example="a = l1; a = ce; a", repair="a = l1; b = ce; a + b")
def bound_twice(span: Span, name: str, first: Span) -> Diagnostic:
    """A name is bound twice."""
    return Diagnostic(
        "",
        f"`{name}` is bound twice",
        span,
        labels=(Label(first, "first here"),),
        fix="give one of them another name",
    )


@mistake("E106", example="a = 2*b; b = ce; a", repair="b = ce; a = 2*b; a")
def used_too_early(span: Span, name: str, bound: Span) -> Diagnostic:
    """A name is used above the line that binds it, or in that line itself."""
    return Diagnostic(
        "",
        f"`{name}` is used before it is bound",
        span,
        labels=(Label(bound, "bound here"),),
        fix="bind it first: a name may use only the names above it",
    )


@mistake("E107", example="seg.mask + ce", repair="pred.seg.mask + ce")
def not_a_root(span: Span, root: str, last: str = "") -> Diagnostic:
    """A path that begins with something else than a root.

    There are four roots: `pred`, `target`, `batch` and `const`. `last` is the last name of the path.
    """
    return Diagnostic(
        "",
        f"a path begins with `pred`, `target`, `batch` or `const`, not with `{root}`",
        span,
        fix=f"here it is spelled `{spelled(last)}`" if spelled(last) else f"did you mean `pred.{root}`?",
    )


@mistake("E108", form="python", example="losslang.compile('ce', overrides={'alpha': 1})",
         repair="losslang.compile('alpha = 2; alpha*ce', overrides={'alpha': 1})")  # fmt: skip
def nothing_to_override(
    span: Span, name: str, meant: Sequence[str], listed: Sequence[str], more: int = 0, group: str = ""
) -> Diagnostic:
    """An override that names nothing in the program.

    Numbers bound to a name can be overridden, and the weight and the numeric options of a term:
    `alpha=0.3`, `dice.weight=2`, `dice.smooth=1`. A term is called by its log key: `dice`, at a head
    `dice.seg`, in a named sum `gan/dice`. A named sum has no weight of its own: bind a number,
    `w = 1; w*gan`.
    """
    if group:
        fix = (
            f"a sum has no weight of its own; bind a number and set that: `w_{group} = 1; w_{group}*{group}`"
        )
    elif meant:
        fix = f"did you mean {' or '.join(f'`{each}`' for each in meant)}?"
    elif listed:
        others = f", and {more} more" if more else ""
        fix = f"what can be set here: {', '.join(f'`{each}`' for each in listed)}{others}"
    else:
        fix = "bind a number to a name first: `w = 1; w*...`"
    return Diagnostic("", f"nothing here is called `{name}`", span, caret="in this program", fix=fix)


@mistake("W101", example="dice = ce; dice", repair="seg = ce; seg")
def hides(span: Span, name: str, kind: str) -> Diagnostic:
    """A bound name hides a registered one.

    It is allowed, so that a later version of losslang cannot break a config by adding a name.
    """
    return Diagnostic(
        "", f"the name `{name}` hides the {kind} `{name}`", span, fix="another name reads better"
    )
