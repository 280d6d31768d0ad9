"""E5, found at run time: tensors whose shape, type or device does not fit the program."""

from __future__ import annotations

from collections.abc import Sequence

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.mistakes import mistake
from losslang.diagnostics.source import Span

Shape = tuple[int, ...]


@mistake(
    "E504",
    form="python",
    example="losslang.compile('mse')(torch.randn(4, 1), torch.randn(4))",
    repair="losslang.compile('mse')(torch.randn(4, 1), torch.randn(4)[:, None])",
)
def shapes_differ(
    span: Span,
    term: str,
    operand: str,
    found: Shape,
    other: Shape,
    wanted: str,
    fix: str,
    beside: str = "the prediction",
) -> Diagnostic:
    """A tensor's shape does not fit the prediction's, or that of a tensor beside it in arithmetic.

    losslang never broadcasts a target: (N,) against (N, 1) would quietly compare every pair. In arithmetic
    tensors of one rank meet axis by axis, where an axis of 1 is repeated; rank 1 is one number per sample,
    from `const` one per channel; any other difference of ranks is refused.
    """
    return Diagnostic(
        "",
        f"`{operand}` of `{term}` has shape {_shape(found)}, {beside} {_shape(other)}",
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
def does_not_lie(
    span: Span, term: str, what: str, found: Shape, pred: Shape, axis: int, is_const: bool, frame: str = ""
) -> Diagnostic:
    """A mask or a weight cannot be laid over the prediction.

    Its rank decides how it lies, never its sizes: the prediction's own rank broadcasts against it; one rank
    less lacks the channel axis; rank 1 is one number per sample, or per channel if it is from `const`. The
    channel axis is the last one for boxes, embeddings and hidden states, and axis 1 for losses of classes
    and images. Of plain values it is the last of (B, T, D), and axis 1 of (B, C, H, W); `channels=` says
    otherwise.
    """
    lacking = pred[:axis] + pred[axis + 1 :]
    is_longer = len(lacking) == 2 and found == (lacking[0], lacking[1] + 1) != (pred[0], pred[axis])
    is_coarse = what != "mask" and frame in ("samples", "region", "total")
    is_const = is_const and frame not in ("places", "rows", "samples")
    vector = f"({pred[axis if is_const else 0]},)" if pred else "()"
    options = [
        _shape(_finest(pred, axis, what, frame)),
        "" if is_coarse or len(lacking) < 2 else _shape(lacking),
        "" if is_coarse and frame == "total" and not is_const else vector,
    ]
    return Diagnostic(
        "",
        f"`{what}` of `{term}` has shape {_shape(found)}, which does not lie over {_shape(pred)}",
        span,
        fix=("shift it as the labels are, `[:, 1:]`, or " if is_longer else "")
        + "give it the shape "
        + " or ".join(dict.fromkeys(filter(None, options)))
        + _other_layout(pred, axis),
    )


def _finest(pred: Shape, axis: int, what: str, frame: str) -> Shape:
    """The shape of the prediction's rank that a mask or a weight may have, by the values that it lies over."""
    kept = set(range(len(pred)))
    if frame in ("places", "rows"):
        kept -= {axis}
    elif what != "mask":
        kept = {"samples": {0}, "region": {0, axis}, "total": {axis}}.get(frame, kept)
    return tuple(size if i in kept else 1 for i, size in enumerate(pred))


def _other_layout(pred: Shape, axis: int) -> str:
    """`, or write `channels=first` for (2, 8)`: what one rank less would be if the channels lay elsewhere."""
    if len(pred) < 3:
        return ""
    other, written = (1, "first") if axis == len(pred) - 1 else (len(pred) - 1, "last")
    return f"; {_shape(pred[:other] + pred[other + 1 :])} is read with `channels={written}`"


def no_arithmetic(
    span: Span, term: str, operand: str, found: Shape, other: Shape, beside: str, across: bool
) -> Diagnostic:
    """Two tensors of an expression that do not lie on the same axes; `across`: samples beside channels."""
    wanted = "the same axes: they meet axis by axis, and an axis of 1 is repeated"
    fix = "one number a sample is (B,), one a channel is (C,) from `const`; give all others the same axes"
    if across:
        wanted = "the same axes: rank 1 is one number a sample, from `const` one a channel"
        fix = "multiply each of them with a tensor of all axes, such as `pred`"
    return shapes_differ(span, term, operand, found, other, wanted, fix, f"`{beside}`")


@mistake(
    "E510",
    form="python",
    example="losslang.compile('dice(sigmoid, weight=batch.w)')(\n"
    "    torch.randn(2, 1, 8, 8), torch.ones(2, 1, 8, 8), w=torch.rand(2, 1, 8, 8)\n)",
    repair="losslang.compile('dice(sigmoid, weight=batch.w)')(\n"
    "    torch.randn(2, 1, 8, 8), torch.ones(2, 1, 8, 8), w=torch.rand(2)\n)",
)
def too_fine(
    span: Span, term: str, what: str, found: Shape, values: str, shapes: Sequence[Shape] = ()
) -> Diagnostic:
    """A weight or a mask is finer than the values that it weighs.

    A region loss has one value per sample and class, a cross entropy one per sample and place.
    A weight per element cannot be applied to them.
    """
    fix = f"give it the shape {' or '.join(dict.fromkeys(map(_shape, shapes)))}"
    if not shapes:
        fix = f"reduce it: `mean({what})`"
    elif what == "mask":
        fix += ": what is masked is masked for every " + (
            "number of a row" if values == "one per row" else "class"
        )
    elif values != "one per row":
        fix += ", or leave out elements by a `mask=`; weights of classes are `class_weight=`"
    message = f"`{what}` {_shape(found)} is finer than the values of `{term}`: {values}"
    return Diagnostic("", message, span, fix=fix)


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
    "E551",
    form="python",
    example="losslang.compile('dice(softmax, classes=[1, 3])')(torch.randn(1, 3, 4), torch.tensor([[0, 1, 2, 0]]))",
    repair="losslang.compile('dice(softmax, classes=[1, 2])')(torch.randn(1, 3, 4), torch.tensor([[0, 1, 2, 0]]))",
)
def no_such_channel(span: Span, term: str, classes: Sequence[int], channels: int) -> Diagnostic:
    """`classes` names a channel that the prediction does not have. Channels are counted from 0."""
    found, kept = max(classes), [number for number in classes if number < channels]
    return Diagnostic(
        "",
        f"`{term}` counts channel {found}, and the prediction has channels 0 to {channels - 1}",
        span,
        fix=f"leave {found} out: `classes={kept}`" if kept else f"choose from 0 to {channels - 1}",
    )


@mistake(
    "E513",
    form="python",
    example="losslang.compile('ce(class_weight=[1, 2])')(torch.randn(2, 3), torch.tensor([0, 1]))",
    repair="losslang.compile('ce(class_weight=[1, 2, 2])')(torch.randn(2, 3), torch.tensor([0, 1]))",
)
def wrong_length(
    span: Span, term: str, option: str, found: int, classes: int, shorter: str = ""
) -> Diagnostic:
    """A list of weights is not as long as there are classes.

    With `background=false` channel 0 is gone, and the list starts at channel 1; with `classes=[2, 4]` it
    has an entry for each of these, in their order.
    """
    return Diagnostic(
        "",
        f"`{option}` of `{term}` has {found} entries, and the prediction {classes} classes",
        span,
        fix=f"channel 0 is left out by `background=false`, and its entry too: `{option}=[{shorter}]`"
        if shorter
        else f"give it {classes} entries, one per class in the loss",
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
