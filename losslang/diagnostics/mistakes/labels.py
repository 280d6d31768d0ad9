"""E5, found in calls that check values: labels, probabilities, signs and boxes out of range."""

from __future__ import annotations

from collections.abc import Sequence

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.mistakes import mistake
from losslang.diagnostics.source import Span

Shape = tuple[int, ...]
BOXES = ("xyxy", "cxcywh", "xywh")
"""How boxes are written."""
UNKNOWN = (254, 255, 65535)
"""Labels above 0 by which data sets mark what is unknown."""


@mistake(
    "E522",
    form="python",
    example="losslang.compile('giou')(torch.tensor([[2.0, 2, 1, 1]]), torch.tensor([[0.0, 0, 1, 1]]))",
    repair="losslang.compile('giou')(torch.tensor([[1.0, 1, 2, 2]]), torch.tensor([[0.0, 0, 1, 1]]))",
)
def not_a_box(
    span: Span, term: str, operand: str, index: Shape, box: tuple[float, ...], format: str
) -> Diagnostic:
    """A box whose second corner lies before its first, or whose size is below 0.

    Its area would be of the wrong sign, and the loss a number without meaning. Checked in the first
    eager call, or as `compile(validate=...)` says.
    """
    what = "x2 < x1 or y2 < y1" if format == "xyxy" else "a size below 0"
    where = "".join(f"[{i}]" for i in index)
    return Diagnostic(
        "",
        f"`{operand}` of `{term}` holds a box with {what}: {where} is {box}",
        span,
        caret=f"read as {format}",
        fix="if they are written otherwise: "
        + ", or ".join(f"`format={name}`" for name in BOXES if name != format),
    )


@mistake(
    "E506",
    form="python",
    example="losslang.compile('ce')(torch.randn(2, 3), torch.tensor([0, 3]))",
    repair="losslang.compile('ce')(torch.randn(2, 3), torch.tensor([0, 2]))",
)
def class_out_of_range(
    span: Span,
    term: str,
    found: int,
    classes: int,
    owner: str = "prediction",
    *,
    least: int = 0,
    ignored: Sequence[int] = (),
) -> Diagnostic:
    """A class index that the prediction has no channel for.

    Labels are looked at in every eager call. On a GPU no call waits for the answer: it is refused in a
    later one, or torch stops with an assertion that names nothing. The label that `ce` and `nll` leave out
    by default, -100, is theirs alone: a loss beside them is told, `ce + dice(ignore_index=-100)`, or takes
    the label that one of them wrote, `ce(ignore_index=-100) + dice`. Several labels are left out by a list.
    """
    unknown = ignoring(term, found, ignored)
    if found < 0 or found in UNKNOWN:
        fix = f"a label that marks what is unknown is left out: {unknown}"
    elif least == 1 and found == classes:
        fix = f"labels here go from 1 to {found}: subtract 1 from them where the data is read, "
        fix += "so that they go from 0" + ("" if ignored else f", or write `target=target - 1` in `{term}`")
    else:
        fix = f"give the {owner} {found + 1} classes, or relabel; what is unknown is left out: {unknown}"
    return Diagnostic(
        "",
        f"the target of `{term}` holds class {found}, and the {owner} has classes 0 to {classes - 1}",
        span,
        fix=fix,
    )


def ignoring(term: str, label: int, ignored: Sequence[int] = ()) -> str:
    """The repair that leaves a label out of a term, beside those that it leaves out already."""
    both = sorted({*ignored, label})
    return f"`ignore_index={both if len(both) > 1 else label}` in `{term}`"


@mistake(
    "E507",
    form="python",
    example="losslang.compile('dice')(3*torch.randn(1, 1, 8, 8), torch.ones(1, 1, 8, 8))",
    repair="losslang.compile('dice(sigmoid)')(3*torch.randn(1, 1, 8, 8), torch.ones(1, 1, 8, 8))",
)
def not_probabilities(span: Span, term: str, low: float, high: float, written: Sequence[str]) -> Diagnostic:
    """A term reads its prediction as probabilities, and the values are not in [0, 1].

    Nothing in the program says which activation to apply, so the prediction was taken as it
    stands. Of several channels a place may have one class, which is a softmax, or several. Checked in the
    first eager call.
    """
    one, *other = (f"`{text}`" for text in written)
    told = f"{one} where a place has one class, {other[0]} where it may have several" if other else one
    return Diagnostic(
        "",
        f"`{term}` reads probabilities, and the prediction holds {low:.4g} to {high:.4g}",
        span,
        caret="no activation is written",
        fix=f"if these are logits, write {told}",
    )


@mistake(
    "E514",
    form="python",
    example="losslang.compile('hinge')(torch.randn(2), torch.tensor([0.0, 1.0]))",
    repair="losslang.compile('hinge')(torch.randn(2), torch.tensor([-1.0, 1.0]))",
)
def not_signs(span: Span, term: str, operand: str = "target") -> Diagnostic:
    """A margin loss reads a float target that holds 0.

    Its targets are +1 and -1. Booleans and integers 0 and 1 are mapped; a float 0 may be a
    mistake, so it is not.
    """
    return Diagnostic(
        "",
        f"the float {operand} of `{term}` holds 0; a margin loss reads +1 and -1",
        span,
        fix=f"if 0 means no, write `{operand}=2*{operand} - 1`, or hand over integers or booleans: `{operand}.long()`",
    )


@mistake(
    "E516",
    form="python",
    example="losslang.compile('gaussian_nll(variance=batch.v)')(\n"
    "    torch.randn(2), torch.randn(2), v=torch.tensor([1.0, -1.0])\n)",
    repair="losslang.compile('gaussian_nll(variance=batch.v)')(\n"
    "    torch.randn(2), torch.randn(2), v=torch.tensor([1.0, 1.0])\n)",
)
def out_of_range(span: Span, term: str, operand: str, found: float, wanted: str, fix: str) -> Diagnostic:
    """Values that the formula is not defined for.

    A variance below 0, a target of yes and no that is not 0 to 1, a position beyond the bins. Checked in the
    first eager call, or as `compile(validate=...)` says.
    """
    message = f"`{operand}` of `{term}` holds {found:.4g}; it must be {wanted}"
    return Diagnostic("", message, span, fix=fix)
