"""E5 and W3, found at run time: divisors that are 0 or negative, classes that cannot be counted."""

from __future__ import annotations

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.mistakes import mistake
from losslang.diagnostics.source import Span

REPAIRS = {
    "avg_factor": "hand over how many there are: a count is never below 0",
    "weight": "outside of a weighted mean a weight may have any sign: `batch.w*l1`",
}


@mistake(
    "E550",
    form="python",
    example="losslang.compile('huber(delta=batch.d)')(torch.zeros(2), torch.ones(2), d=torch.tensor(-1.0))",
    repair="losslang.compile('huber(delta=batch.d)')(torch.zeros(2), torch.ones(2), d=torch.tensor(1.0))",
)
def option_outside_bounds(
    span: Span, term: str, option: str, found: float, wanted: str, kept: str
) -> Diagnostic:
    """An option from a tensor lies outside of the bounds of a written one, or is NaN.

    Looked at in the calls that look at values: the first, or every one with `validate="always"`.
    """
    return Diagnostic(
        "",
        f"`{option}` of `{term}` holds {found:.4g}",
        span,
        caret=f"must be {wanted.removesuffix(', or a path')}",
        fix=f"keep it there: {kept}" if kept else "hand over a number",
    )


@mistake(
    "E552",
    form="python",
    example="losslang.compile('l1(mask=batch.m)')(torch.zeros(2), torch.ones(2), m=torch.tensor([0.5, 1.0]))",
    repair="losslang.compile('l1(weight=batch.m)')(torch.zeros(2), torch.ones(2), m=torch.tensor([0.5, 1.0]))",
)
def no_mask(span: Span, term: str, path: str, found: float, weighs: bool) -> Diagnostic:
    """A mask of floats holds a number that is neither 0 nor 1, or NaN.

    A mask says which values count: all that is not 0 would count in full, 0.5 and NaN too. Numbers that weigh
    are a `weight`, which multiplies the values and leaves their number alone. Integers may be any number, as
    255 in images of masks. Looked at in the calls that look at values: the first, or every one with
    `validate="always"`.
    """
    yes = f"a mask of yes and no is `{path.rpartition('.')[2]} > 0` in Python"
    return Diagnostic(
        "",
        f"`mask` of `{term}` holds {found:.4g}",
        span,
        caret="must be 0 and 1",
        why="every value that is not 0 would count in full",
        fix=f"{yes}; numbers that weigh are `weight={path}`" if weighs else yes,
    )


@mistake(
    "E527",
    form="python",
    example="losslang.compile('ce(class_weight=batch.w)')(\n"
    "    torch.randn(2, 3), torch.tensor([0, 2]), w=torch.tensor([1.0, -1.0, 1.0])\n)",
    repair="losslang.compile('ce(class_weight=batch.w)')(\n"
    "    torch.randn(2, 3), torch.tensor([0, 2]), w=torch.tensor([1.0, 0.0, 1.0])\n)",
)
def outside_bounds(span: Span, term: str, option: str, found: float) -> Diagnostic:
    """A weight or a factor from a tensor lies outside of the bounds of a written one.

    `class_weight`, `pos_weight`, `avg_factor` and the `weight` of a weighted mean are finite and not
    below 0: with others the mean is none. Looked at in the calls that look at values. What a loss is
    multiplied with, `batch.w*l1`, may have any sign.
    """
    return Diagnostic(
        "",
        f"`{option}` of `{term}` holds {found:.4g}",
        span,
        caret="must be finite and at least 0",
        fix=REPAIRS.get(option, "give every class a weight of 0 or more"),
    )


@mistake(
    "E528",
    form="python",
    example="losslang.compile('dice(softmax, ignore_index=0)')(\n"
    "    torch.randn(1, 3, 4), torch.eye(3)[[0, 1, 2, 0]].T[None]\n)",
    repair="losslang.compile('dice(softmax, ignore_index=0)')(torch.randn(1, 3, 4), torch.tensor([[0, 1, 2, 0]]))",
)
def ignored_by_number(span: Span, term: str, label: int, found: tuple[int, ...]) -> Diagnostic:
    """A class is to be ignored, and the target holds one-hot or soft labels.

    Their numbers are shares of classes: to leave out every 0 of them would leave out what is not of a
    class, and not the class 0. Class indices say which places to leave out, and so does a mask. A target
    of yes and no for each element may mark what is unknown by a number of its own, such as -1.
    """
    return Diagnostic(
        "",
        f"`{term}` ignores class {label}, and its target {found} holds one number for each class",
        span,
        caret="no class of these numbers",
        fix="hand over class indices, or the places that count: `mask=batch.valid`",
    )


@mistake(
    "W305",
    form="python",
    example="losslang.compile('l1(avg_factor=batch.n)')(torch.randn(2, 4), torch.randn(2, 4), n=torch.tensor(0))",
    repair="losslang.compile('l1(avg_factor=max(batch.n, 1))')(torch.randn(2, 4), torch.randn(2, 4), n=torch.tensor(0))",
)
def nothing_counted(span: Span, term: str, factor: str) -> Diagnostic:
    """A sum is divided by 0: the term is 0 in this call, and trains nothing.

    The mean over nothing is 0, with a gradient of 0. That is right where nothing is there to be learned.
    An image without boxes still teaches what is no box: `max(batch.n, 1)` keeps it. Said once, and not
    on a GPU, where the number would have to be waited for.
    """
    return Diagnostic(
        "",
        f"`avg_factor` of `{term}` is 0, so the term is 0 and trains nothing",
        span,
        caret="0 in this call",
        fix=f"if the others count, as the background of an image without boxes: `avg_factor=max({factor}, 1)`",
    )


@mistake(
    "W306",
    form="python",
    example="losslang.compile('bce(sigmoid, class_weight=balanced)')(\n"
    "    torch.randn(4, 1), torch.tensor([[1.0], [0.0], [0.0], [0.0]])\n)",
    repair="losslang.compile('bce(sigmoid, pos_weight=balanced)')(\n"
    "    torch.randn(4, 1), torch.tensor([[1.0], [0.0], [0.0], [0.0]])\n)",
)
def one_class_to_balance(span: Span, term: str, how: str) -> Diagnostic:
    """`class_weight=balanced` or `complement` of a prediction of one channel.

    There is one class, so there is nothing to balance it with: every value is multiplied by the same
    number, N / N_pos for `balanced`, and the loss grows as positives become rare. `pos_weight=balanced`
    weighs the positives against the negatives.
    """
    return Diagnostic(
        "",
        f"`class_weight={how}` of `{term}` weighs the one channel of the prediction",
        span,
        caret="multiplies every value alike",
        fix="remove it; a loss of yes and no weighs its positives against its negatives: `pos_weight=balanced`",
    )
