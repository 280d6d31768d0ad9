"""E2 about `like=`: libraries without the loss, and uses that were not compared with theirs."""

from __future__ import annotations

import re
from collections.abc import Sequence

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.elsewhere import nearest
from losslang.diagnostics.mistakes import mistake
from losslang.diagnostics.source import Span

UNDER_ANOTHER_NAME = {
    ("charbonnier", "kornia"): "pseudo_huber(like=kornia)",
    ("eiou", "mmdet"): "extended_iou(like=mmdet)",
}
"""Losses that a library has under the name of another one of ours."""


@mistake("E208", example="dice(sigmoid, like=torchvision)", repair="dice(sigmoid, like=smp)")
def not_in_library(span: Span, owner: str, name: str, known: Sequence[str]) -> Diagnostic:
    """A library that does not have this loss, or whose numbers are not known here."""
    near = nearest(name, known)
    if (owner, name) in UNDER_ANOTHER_NAME:
        fix = f"what {name} calls so is `{UNDER_ANOTHER_NAME[owner, name]}`"
    elif near:
        fix = f"did you mean `{near}`?"
    elif known:
        fix = f"`like` is one of {', '.join(f'`{k}`' for k in known)}"
    else:
        fix = f"no library's `{owner}` is known: without `like` it is the formula of `losslang show {owner}`"
    return Diagnostic("", f"`{name}` is no library whose `{owner}` is known", span, caret="unknown", fix=fix)


def without_like(options: str) -> str:
    """The repair of a `like=`: its options, written out."""
    return f"leave out `like`, and write what it stands for: `{options}`" if options else "leave out `like`"


@mistake("E209", example="focal(softmax, like=monai)", repair="focal(sigmoid, like=monai)")
def activation_not_compared(
    span: Span, owner: str, activation: str, library: str, why: str, options: str
) -> Diagnostic:
    """A library's numbers are asked for after an activation that they were not compared after.

    `like=` is a promise: the number of the library, or a refusal. What a library does after another
    activation is another loss, or the same divided by something else.
    """
    return Diagnostic(
        "",
        f"`{owner}({activation})` is not known to be that of {library}: {why}",
        span,
        caret="not compared",
        fix=_divided(why) or without_like(", ".join(options.split(", ")[1:])),
    )


def _divided(why: str) -> str:
    """The repair of a preset whose library divides by the classes too; '' for any other."""
    found = re.search(r"its mean is `([^`]*)` / C", why)
    return f"leave out `like`, and divide by the number of classes: `{found[1]}/3` for 3" if found else ""


@mistake("E210", example="focal(sigmoid, like=smp, class_weight=[1, 2])",
         repair="focal(sigmoid, class_weight=[1, 2])")  # fmt: skip
def option_not_compared(span: Span, owner: str, option: str, library: str, why: str, fix: str) -> Diagnostic:
    """An option that a library has too, with another number.

    `like=` is a promise: the number of the library, or a refusal. An option that the library does not have
    may stand beside it; `explain` says which those are.
    """
    return Diagnostic(
        "",
        f"`{owner}` with {option} is not that of {library}: {why}",
        span,
        caret="not compared",
        fix=fix,
    )


@mistake(
    "E526",
    form="python",
    example="losslang.compile('listwise_softmax(like=optax)')(torch.randn(2, 3, 4), torch.rand(2, 3, 4))",
    repair="losslang.compile('listwise_softmax(like=optax)')(torch.randn(6, 4), torch.rand(6, 4))",
)
def shape_not_compared(span: Span, term: str, library: str, what: str, wanted: str) -> Diagnostic:
    """A library's numbers are asked for, of tensors for which they were not compared.

    `like=` is a promise: the number of the library, or a refusal. A library may take the axes of such a
    tensor for others, refuse it, or divide by another count.
    """
    return Diagnostic(
        "",
        f"`{term}` is not known to be that of {library} {what}",
        span,
        caret=f"compared {wanted}",
        fix="leave out `like`, and write the options that it stands for",
    )
