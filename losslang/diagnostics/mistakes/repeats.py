"""E36: `each` and `matryoshka`."""

from __future__ import annotations

from collections.abc import Sequence

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.mistakes import mistake
from losslang.diagnostics.source import Span


@mistake("E360", example="aux = l1; each(aux, over=pred)", repair="each(l1, over=pred)")
def no_element(span: Span, term: str, over: str) -> Diagnostic:
    """A term in `each` that reads no element: it would be added once for every element.

    Inside of `each` the words `pred` and `target` are one element of the lists. A name that is bound outside
    keeps its own tensors, and `@(...)` those that it names.
    """
    return Diagnostic(
        "",
        f"`{term}` reads no element of `{over}`",
        span,
        fix="write it outside of `each`; a loss of the elements is written inside, not behind a name",
    )


@mistake("E361", example="each(each(l1, over=pred), over=pred)", repair="each(l1, over=pred)")
def nested(span: Span) -> Diagnostic:
    """`each` inside of `each`."""
    return Diagnostic(
        "", "`each` stands inside of `each`", span, fix="flatten the lists of lists, and write one `each`"
    )


@mistake("E362", example="each(ghm_c(sigmoid), over=pred)", repair="each(focal(sigmoid), over=pred)")
def keeps_state(span: Span, loss: str) -> Diagnostic:
    """A loss with a running state for every element of a list.

    How many elements there are is known in a call alone, and the state is in the checkpoint. One state for
    all elements would mix their statistics.
    """
    return Diagnostic(
        "",
        f"`{loss}` remembers numbers from call to call, and `each` does not know how many elements there are",
        span,
        fix=f"write a term for each element: `{loss}@(pred[0], target[0]) + {loss}@(pred[1], target[1])`",
    )


@mistake(
    "E363",
    example="each(sqrt(mse), over=pred, combine=min, per=sample)",
    repair="each(mse, over=pred, combine=min, per=sample)",
)
def no_contest(span: Span, what: str, combine: str, fix: str) -> Diagnostic:
    """A body whose values can not be compared before the reduction.

    `combine=min` takes the smallest of the whole body over the elements, for each sample, place or element.
    The body is a weighted sum of losses that have values there, all reduced by `mean` or all by `sum`.
    """
    return Diagnostic(
        "", f"{what}: `combine={combine}` compares values before they are reduced", span, fix=fix
    )


@mistake(
    "E364", example="each(l1, over=pred, combine=min)", repair="each(l1, over=pred, combine=min, per=sample)"
)
def which_values(span: Span, combine: str, per: str) -> Diagnostic:
    """`combine=min` that does not say what competes, or `per=` without it.

    `per=sample`: each sample takes its best element (SAM). `per=place`: each pixel does, of the mean over the
    channels (Monodepth2). `per=element`: each value does.
    """
    if per:
        fix = f"write `combine=min, per={per}`, or leave `per` out"
        return Diagnostic("", f"`combine={combine}` adds, and picks nothing `per={per}`", span, fix=fix)
    fix = f"write `combine={combine}, per=sample`, `per=place` or `per=element`"
    return Diagnostic("", f"`combine={combine}` needs to know what competes", span, fix=fix)


CALL = "losslang.compile('{}')({})"


@mistake(
    "E365",
    form="python",
    example=CALL.format("each(l1)", "[torch.zeros(2, 3)], torch.zeros(2, 3)"),
    repair=CALL.format("each(l1, over=pred)", "[torch.zeros(2, 3)], torch.zeros(2, 3)"),
)
def no_list(span: Span, path: str, found: str, fix: str) -> Diagnostic:
    """`each` over something that is no list of 1 to 256 elements and no mapping of as many."""
    return Diagnostic("", f"`each` goes through `{path}`, which is {found}", span, fix=fix)


@mistake(
    "E366",
    form="python",
    example=CALL.format("each(l1)", "[torch.zeros(2), torch.zeros(4)], [torch.zeros(2)]"),
    repair=CALL.format("each(l1)", "[torch.zeros(2), torch.zeros(4)], [torch.zeros(2), torch.zeros(4)]"),
)
def lists_differ(span: Span, first: str, second: str, has: str, other: str, fix: str) -> Diagnostic:
    """Two lists of different lengths, or mappings with different keys: `each` takes them pair by pair."""
    return Diagnostic("", f"`{first}` {has}, and `{second}` {other}", span, fix=fix)


@mistake(
    "E367",
    form="python",
    example=CALL.format("each(l1, over=pred, weights=[1, 0.5])", "[torch.zeros(2)]*3, torch.zeros(2)"),
    repair=CALL.format("each(l1, over=pred, weights=[1, 0.5, 0.25])", "[torch.zeros(2)]*3, torch.zeros(2)"),
)
def wrong_weights(span: Span, path: str, number: int, problem: str, fix: str) -> Diagnostic:
    """Weights that are not as many as there are elements, or that leave none of them."""
    elements = f"{number} element{'s' * (number != 1)}"
    return Diagnostic("", f"`{path}` has {elements}, and {problem}", span, fix=fix)


@mistake(
    "E368",
    form="python",
    example=CALL.format(
        "each(l1, over=pred, combine=min, per=element)", "[torch.zeros(2, 3), torch.zeros(2, 1)], 0"
    ),
    repair=CALL.format(
        "each(l1, over=pred, combine=min, per=element)", "[torch.zeros(2, 3), torch.zeros(2, 3)], 0"
    ),
)
def candidates_differ(span: Span, term: str, shapes: Sequence[tuple[int, ...]]) -> Diagnostic:
    """Elements that compete and have values of different shapes."""
    listed = ", ".join(str(shape) for shape in dict.fromkeys(shapes))
    return Diagnostic(
        "",
        f"{term}: what competes has values of different shapes: {listed}",
        span,
        fix="hand over predictions of one size, or write `per=sample`",
    )


@mistake(
    "E369",
    example="matryoshka(l1, dims=[64, 32])",
    repair="matryoshka(cosine, dims=[64, 32])",
)
def no_embeddings(span: Span, term: str) -> Diagnostic:
    """A term in `matryoshka` that reads no embeddings, or none by a path: nothing of it can be cut."""
    return Diagnostic(
        "",
        f"`{term}` reads no embeddings that `matryoshka` could cut",
        span,
        fix="losses of embeddings are `cosine`, `mnrl`, `infonce`, `triplet`, ...; write others outside",
    )
