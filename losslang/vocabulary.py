"""The vocabulary: views, targets, axes and bounds of a signature, and the words that a program reserves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, TypeVar, Union

from pydantic import Field


class Why(str):
    """The reason why an option has to be known before anything runs."""

    __slots__ = ()


if TYPE_CHECKING:
    # To a type checker `Float[Tensor, "b c"]` is a Tensor; at run time it is never looked at.
    from typing import Annotated as Float
    from typing import Annotated as Int

    from torch import Tensor as Tensor

    Declared = TypeVar("Declared")
    Dynamic = Union[Declared, Tensor]  # noqa: UP007
    from typing import Annotated as Fixed
else:
    Float = Int = Annotated
    Tensor = Any

    class Dynamic:
        """The type of an option that may also be a tensor of one number: `Dynamic[Positive]`.

        It is given by a path or a schedule. The loss computes with the tensor as with a number, by
        `losslang.tensors.options` where torch takes numbers alone, and its gradient flows into it.
        """

        def __class_getitem__(cls, declared: Any) -> Any:
            return Annotated[declared, Dynamic]

    class Fixed:
        """The type of an option that has to be known before anything runs, and why: `Fixed[Count, "it counts"]`."""

        def __class_getitem__(cls, given: tuple[Any, str]) -> Any:
            declared, why = given
            return Annotated[declared, Why(why)]


# Single precision ends at 1e-38 and 3e38: 1e18 can be squared, and 1e-30 divides what is not huge.
SMALLEST, LARGEST = 1e-30, 1e18
NonNegative = Annotated[float, Field(ge=0, le=LARGEST)]
Positive = Annotated[float, Field(ge=SMALLEST, le=LARGEST)]
# A bound or a unit whose square divides: beside 1e-12 a number of up to 1e6 still has a square.
Scale = Annotated[float, Field(ge=1e-12, le=LARGEST)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Proportion = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
Axes = Union[int, Annotated[list[int], Field(min_length=1)]]  # noqa: UP007
"""An axis of a tensor, or several: from 0 on, -1 is the last."""


class Head(NamedTuple):
    """The last layer of a network: x W^T + b, W of shape (C, D)."""

    weight: Tensor
    bias: Tensor | None


ROOTS = ("pred", "target", "batch", "const")
CLOCKS = ("step", "epoch")
WORDS = {"true": True, "false": False, "none": None}
RESERVED = (*ROOTS, *CLOCKS, *WORDS)
"""The names of a program that can be neither called nor bound."""

# The views of a prediction, by the name of the parameter that reads them.
VIEWS: Mapping[str, str] = {
    "logits": "logits",
    "probs": "probs",
    "log_probs": "log_probs",
    "log_complement": "log_probs",  # log(1 - p)
    "p_true": "probs",  # the probability given to what is true
    "log_p_true": "log_probs",
    "values": "values",
    "boxes": "boxes",
    "embeddings": "embeddings",
    "anchor": "embeddings",
    "hidden": "hidden",
    "parameters": "parameters",
}
# The forms of a target, by the name of the parameter.
TARGETS: Mapping[str, str] = {
    "target": "a tensor like the prediction; class indices become one-hot where it has classes",
    "labels": "the class of each place: indices, or a distribution over the class axis",
    "indices": "the class of each row: integers, in the prediction's shape without its last axis",
    "signs": "+1 or -1, like the prediction",
    "target_probs": "probabilities, like the prediction",
    "target_logits": "logits, like the prediction",
    "target_boxes": "boxes, like the prediction",
    "position": "a real number for each row, in the prediction's shape without its last axis",
    "distance": "a signed distance map like the prediction: below 0 inside",
    "positive_truth": "how far what is true is not the background: 0 to 1",
}
# Operands that are not like the prediction.
LAYERS: Mapping[str, str] = {
    "head": "the last layer: an nn.Linear, or its weight of shape (C, D)",
    "net": "a frozen network: a module, given by `compile(const=...)`",
}
# Parameters that the compiler fills in for a loss that asks for them.
GIVEN = ("total", "class_weight", "pos_weight", "counted", "mask", "memory")
Labels = Annotated[list[int], Field(min_length=1)]
Channels = Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
UNIVERSAL_TYPES: Mapping[str, Any] = {
    "reduction": Any,
    "mask": Any,
    "ignore_index": Union[int, Labels, None],  # noqa: UP007
    "weight": Any,
    "class_weight": list[NonNegative] | Literal["balanced", "complement"],
    "pos_weight": NonNegative | list[NonNegative] | Literal["balanced"],
    "batch": bool,
    "background": bool | Literal["alone"],
    "classes": Channels,
    "avg_factor": Positive,
    "empty": Literal["formula", "zero", "one", "skip"],
    "channels": Literal["first", "last"],
    "like": Any,
}
"""The options that every loss has where its axes allow, with their types. The compiler applies them."""
UNIVERSAL = tuple(UNIVERSAL_TYPES)
"""Their names, in the order in which a meaning prints them."""
IN_WORDS = {
    "probs": "probabilities",
    "log_probs": "log-probabilities",
    "hidden": "hidden states",
    "parameters": "the parameters that `compile(params=...)` is given",
}
"""Views in words, where these differ from the name."""
CLASSED = {"logits", "probs", "log_probs"}
"""The views that have a class axis."""

Total = Callable[..., Any]
"""`total(a, b, ...)` sums each over the axes that the loss's result no longer has.

A number counts the summed elements. One call per loss: before it everything is a map over
elements, after it arithmetic on a few numbers, and so one text serves every executor.
"""

__all__ = [
    "CLASSED", "GIVEN", "IN_WORDS", "LAYERS", "TARGETS", "UNIVERSAL", "UNIVERSAL_TYPES", "VIEWS", "Axes", "Channels", "Count", "Dynamic", "Fixed",
    "Float", "Fraction", "Head", "Int", "NonNegative", "Positive", "Proportion", "Scale", "Tensor", "Total",
]  # fmt: skip
