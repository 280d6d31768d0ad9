"""E5: the tensors of a call do not fit the program. Found at run time, by shape wherever possible."""

from __future__ import annotations

from losslang.diagnostics import Diagnostic
from losslang.mistakes import mistake
from losslang.text import Span

Shape = tuple[int, ...]


@mistake(
    "E504",
    form="python",
    example="losslang.compile('mse')(torch.randn(4, 1), torch.randn(4))",
    repair="losslang.compile('mse')(torch.randn(4, 1), torch.randn(4)[:, None])",
)
def shapes_differ(
    span: Span, term: str, operand: str, found: Shape, pred: Shape, wanted: str, fix: str
) -> Diagnostic:
    """A tensor's shape does not fit the prediction's.

    losslang never broadcasts a target: (N,) against (N, 1) would quietly compare every pair.
    """
    return Diagnostic(
        "",
        f"`{operand}` of `{term}` has shape {_shape(found)}, the prediction {_shape(pred)}",
        span,
        caret=f"wants {wanted}",
        fix=fix,
    )


@mistake(
    "E517",
    form="python",
    example="losslang.compile('giou')(torch.rand(2, 5), torch.rand(2, 4))",
    repair="losslang.compile('giou')(torch.tensor([[0.0, 0, 1, 1]]), torch.tensor([[0.0, 0, 2, 2]]))",
)
def wrong_prediction(span: Span, term: str, found: Shape, wanted: str, fix: str) -> Diagnostic:
    """The prediction itself does not have the axes that the loss needs.

    Losses of classes read (B, C, *S), those of regions need space to sum over, boxes are four
    numbers along the last axis.
    """
    return Diagnostic(
        "", f"the prediction of `{term}` has shape {_shape(found)}", span, caret=f"wants {wanted}", fix=fix
    )


def _shape(shape: Shape) -> str:
    return str(tuple(shape))


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
        fix="say how boxes are written: `format=xyxy|cxcywh|xywh`",
    )


@mistake(
    "E523",
    form="python",
    example="losslang.compile('1 - ms_ssim')(torch.rand(1, 3, 16, 16), torch.rand(1, 3, 16, 16))",
    repair="losslang.compile('1 - ssim')(torch.rand(1, 3, 16, 16), torch.rand(1, 3, 16, 16))",
)
def refused(span: Span, term: str, why: str) -> Diagnostic:
    """A loss refuses sizes that it has no value for: an image smaller than its windows, too short a history."""
    message, _, fix = why.partition("; ")
    name, colon, rest = message.partition(": ")
    return Diagnostic("", f"`{name if colon else term}` cannot do this: {rest or message}", span, fix=fix)


@mistake(
    "E505",
    form="python",
    example="losslang.compile('ce')(torch.randn(4, 3), torch.tensor([0.0, 1.0, 2.0, 0.0]))",
    repair="losslang.compile('ce')(torch.randn(4, 3), torch.tensor([0, 1, 2, 0]))",
)
def wrong_dtype(span: Span, term: str, operand: str, found: str, wanted: str, fix: str) -> Diagnostic:
    """A tensor has a type that cannot mean what it is read as.

    Class indices are integers; probabilities and logits are floats.
    """
    return Diagnostic("", f"`{operand}` of `{term}` is {found}", span, caret=f"wants {wanted}", fix=fix)


@mistake(
    "E506",
    form="python",
    example="losslang.compile('ce')(torch.randn(2, 3), torch.tensor([0, 3]))",
    repair="losslang.compile('ce')(torch.randn(2, 3), torch.tensor([0, 2]))",
)
def class_out_of_range(
    span: Span, term: str, found: int, classes: int, owner: str = "prediction"
) -> Diagnostic:
    """A class index that the prediction has no channel for.

    Checked in the first eager call. On a GPU torch would stop with an assertion that names nothing.
    """
    return Diagnostic(
        "",
        f"the target of `{term}` holds class {found}, and the {owner} has classes 0 to {classes - 1}",
        span,
        fix=f"relabel it, or leave it out: `ignore_index={found}`",
    )


@mistake(
    "E507",
    form="python",
    example="losslang.compile('dice')(3*torch.randn(1, 1, 8, 8), torch.ones(1, 1, 8, 8))",
    repair="losslang.compile('dice(sigmoid)')(3*torch.randn(1, 1, 8, 8), torch.ones(1, 1, 8, 8))",
)
def not_probabilities(span: Span, term: str, low: float, high: float, activation: str) -> Diagnostic:
    """A term reads its prediction as probabilities, and the values are not in [0, 1].

    Nothing in the program says which activation to apply, so the prediction was taken as it
    stands. Checked in the first eager call.
    """
    return Diagnostic(
        "",
        f"`{term}` reads probabilities, and the prediction holds {low:.4g} to {high:.4g}",
        span,
        caret="no activation is written",
        fix=f"if these are logits, write `{term.partition('@')[0]}({activation})`",
    )


@mistake(
    "E508",
    form="python",
    example="losslang.compile('ce')(torch.randn(2, 1, 4), torch.zeros(2, 4).long())",
    repair="losslang.compile('bce(sigmoid)')(torch.randn(2, 1, 4), torch.zeros(2, 1, 4))",
)
def one_channel_softmax(span: Span, term: str, activation: str, shape: Shape) -> Diagnostic:
    """A softmax over one channel.

    It is 1 everywhere, whatever the network says: the loss is constant and every gradient 0.
    """
    return Diagnostic(
        "",
        f"`{activation}` in `{term}` runs over the one channel of a prediction {_shape(shape)}",
        span,
        caret="is 1 everywhere",
        why="nothing would be learned: the gradient of a one-channel softmax is 0",
        fix="use `sigmoid` for a yes-or-no prediction, or give the network one channel a class",
    )


@mistake(
    "E509",
    form="python",
    example="losslang.compile('mse(mask=batch.m)')(\n"
    "    torch.randn(2, 3, 8, 8), torch.randn(2, 3, 8, 8), m=torch.ones(8, 8)\n)",
    repair="losslang.compile('mse(mask=batch.m)')(\n"
    "    torch.randn(2, 3, 8, 8), torch.randn(2, 3, 8, 8), m=torch.ones(2, 8, 8)\n)",
)
def does_not_lie(span: Span, term: str, what: str, found: Shape, pred: Shape) -> Diagnostic:
    """A mask or a weight cannot be laid over the prediction.

    Its rank decides how it lies: the prediction's own rank broadcasts against it, one less is
    (B, *S), the same for every channel, rank 1 is one number per sample.
    """
    rest = ", ".join(map(str, pred[2:]))
    options = [_shape(pred), f"({pred[0]}, {rest})" if rest else "", f"({pred[0]},)"]
    return Diagnostic(
        "",
        f"`{what}` of `{term}` has shape {_shape(found)}, which does not lie over {_shape(pred)}",
        span,
        fix="give it the shape " + " or ".join(dict.fromkeys(filter(None, options))),
    )


@mistake(
    "E510",
    form="python",
    example="losslang.compile('dice(sigmoid, weight=batch.w)')(\n"
    "    torch.randn(2, 1, 8, 8), torch.ones(2, 1, 8, 8), w=torch.rand(2, 1, 8, 8)\n)",
    repair="losslang.compile('dice(sigmoid, weight=batch.w)')(\n"
    "    torch.randn(2, 1, 8, 8), torch.ones(2, 1, 8, 8), w=torch.rand(2)\n)",
)
def too_fine(span: Span, term: str, what: str, found: Shape, values: str) -> Diagnostic:
    """A weight or a mask is finer than the values that it weighs.

    A region loss has one value per sample and class, a cross entropy one per sample and place.
    A weight per element cannot be applied to them.
    """
    return Diagnostic(
        "",
        f"`{what}` {_shape(found)} is finer than the values of `{term}`: {values}",
        span,
        fix={
            "mask": "give it one channel: what is masked is masked for every class",
            "one number": f"reduce it: `mean({what})`",
        }.get(what if what == "mask" else values, "use one weight per sample, shape (B,), or a mask"),
    )


@mistake(
    "E511",
    form="python",
    example="losslang.compile('mse')(torch.randn(2), torch.randn(2, device='meta'))",
    repair="losslang.compile('mse')(torch.randn(2), torch.randn(2))",
)
def devices_differ(span: Span, term: str, operand: str, found: str, pred: str) -> Diagnostic:
    """Two tensors of one term are on different devices."""
    return Diagnostic(
        "",
        f"`{operand}` of `{term}` is on {found}, the prediction on {pred}",
        span,
        fix=f"move it: `.to('{pred}')`",
    )


@mistake(
    "E513",
    form="python",
    example="losslang.compile('ce(class_weight=[1, 2])')(torch.randn(2, 3), torch.tensor([0, 1]))",
    repair="losslang.compile('ce(class_weight=[1, 2, 2])')(torch.randn(2, 3), torch.tensor([0, 1]))",
)
def wrong_length(span: Span, term: str, option: str, found: int, classes: int) -> Diagnostic:
    """A list of weights is not as long as there are classes.

    With `background=false` channel 0 is gone, and the list starts at channel 1.
    """
    return Diagnostic(
        "",
        f"`{option}` of `{term}` has {found} entries, and the prediction {classes} classes",
        span,
        fix=f"give it {classes} entries, one per class in the loss",
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
        fix="use `2*t - 1`, or an integer or boolean target",
    )


@mistake(
    "E516",
    form="python",
    example="losslang.compile('gaussian_nll(variance=batch.v)')(\n"
    "    torch.randn(2), torch.randn(2), v=torch.tensor([1.0, -1.0])\n)",
    repair="losslang.compile('gaussian_nll(variance=batch.v)')(\n"
    "    torch.randn(2), torch.randn(2), v=torch.tensor([1.0, 1.0])\n)",
)
def out_of_range(span: Span, term: str, operand: str, found: float, wanted: str) -> Diagnostic:
    """Values that the formula is not defined for. Checked in the first eager call."""
    return Diagnostic(
        "", f"`{operand}` of `{term}` holds {found:.4g}; it must be {wanted}", span, fix="check the data"
    )


@mistake(
    "E518",
    form="python",
    example="losslang.compile('linear_ce(head=const.head)', const={'head': torch.randn(8, 10)})(\n"
    "    torch.randn(4, 8), torch.tensor([0, 9, 3, 3])\n)",
    repair="losslang.compile('linear_ce(head=const.head)', const={'head': torch.randn(10, 8)})(\n"
    "    torch.randn(4, 8), torch.tensor([0, 9, 3, 3])\n)",
)
def wrong_head(span: Span, term: str, operand: str, found: str, pred: Shape, fix: str) -> Diagnostic:
    """A last layer does not fit the hidden states that it is applied to.

    It is an `nn.Linear`, or a weight of shape (classes, D) as an `nn.Linear` has it: one row of D
    numbers a class, where the hidden states have D numbers along their last axis.
    """
    return Diagnostic(
        "",
        f"`{operand}` of `{term}` is {found}, the hidden states {_shape(pred)}",
        span,
        caret=f"wants an nn.Linear, or its weight (classes, {pred[-1] if pred else 'D'})",
        fix=fix,
    )
