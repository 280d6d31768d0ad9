"""W34, found in the first call: predictions whose classes may be the last axis."""

from __future__ import annotations

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.mistakes import mistake
from losslang.diagnostics.source import Span

Shape = tuple[int, ...]


@mistake(
    "W340",
    form="python",
    example="losslang.compile('ce')(torch.randn(4, 8, 8), torch.randint(8, (4, 8)))",
    repair="losslang.compile('ce(channels=last)')(torch.randn(4, 8, 8), torch.randint(8, (4, 8)))",
)
def axes_of_one_size(span: Span, pred: Shape, target: Shape, fix: str) -> Diagnostic:
    """As many classes as places: no size tells which axis of the prediction the classes are.

    Classes are axis 1, (B, C, T), unless `channels=last` says that they are the last one, as in the logits
    (B, T, V) of a language model and in images (B, H, W, C). With other sizes the shape of the labels tells a
    mistake, and it is an error; where all of them agree, both readings give a number. Said once, in the first
    call; a written `channels=first` or `channels=last` says which is meant.
    """
    return Diagnostic(
        "",
        f"the prediction {pred} has as many classes as places, so the labels {target} would fit either axis",
        span,
        caret="reads the classes along axis 1",
        why="with the classes last it would take places for classes: a number, and the wrong one",
        fix=f"{fix}; if they are axis 1, write `channels=first`",
    )


@mistake(
    "W341",
    form="python",
    example="losslang.compile('ce')(torch.randn(4, 6, 3), torch.eye(3).repeat(4, 2, 1))",
    repair="losslang.compile('ce(channels=last)')(torch.randn(4, 6, 3), torch.eye(3).repeat(4, 2, 1))",
)
def truth_adds_up_last(span: Span, pred: Shape, target: Shape, fix: str) -> Diagnostic:
    """One-hot or soft labels that add up to 1 along the last axis, and not along the axis of the classes.

    A target of the prediction's shape is one number for each class, and these add up to 1 along the axis of
    the classes: axis 1, unless `channels=last` is written. Looked at in the first call.
    """
    return Diagnostic(
        "",
        f"the target {target} adds up to 1 along its last axis, and the classes of {pred} are read along axis 1",
        span,
        caret="reads the classes along axis 1",
        why="it would take places for classes: a number, and the wrong one",
        fix=f"{fix}; if they are axis 1, write `channels=first`",
    )
