"""Primitives: a decorated function becomes a described value, without torch.

    @loss(paper="Huber 1964")
    def huber(values: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"], *,
              delta: Positive = 1.0) -> Float[Tensor, "*shape"]:
        \"\"\"e^2 / 2 inside delta, delta (|e| - delta / 2) outside.\"\"\"

The names of the parameters say what the loss reads (VIEWS, TARGETS, GIVEN), the annotations which axes,
the keywords which options with which bounds, the docstring the formula. Nothing here imports torch.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, cached_property
from types import CodeType
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, create_model

from losslang.primitives.kernels import KERNELS, Sloped
from losslang.primitives.presets import Preset
from losslang.vocabulary import CLASSED, GIVEN, TARGETS, VIEWS


class Operand(NamedTuple):
    """A tensor that a loss takes: its name, and the path that it reads by default; None if it must be written."""

    name: str
    default: str | None


@dataclass(frozen=True)
class Primitive:
    """A name of the language and the function behind it."""

    name: str
    function: Callable[..., Any] = field(repr=False)
    aliases: tuple[str, ...] = ()
    paper: str = ""

    @property
    def kind(self) -> str:
        """Its kind in lower case: `loss`, `activation`, `reduction`, `function`, `schedule` or `combinator`."""
        return type(self).__name__.lower()

    @property
    def origin(self) -> str:
        """The module in which the function is defined, with its name there."""
        return f"{self.function.__module__}.{self.function.__qualname__}"

    @cached_property
    def summary(self) -> str:
        """The first line of the docstring: a loss's formula."""
        return self.doc.partition("\n")[0]

    @cached_property
    def doc(self) -> str:
        """The docstring of the function."""
        return inspect.cleandoc(self.function.__doc__ or "")

    @cached_property
    def signature(self) -> inspect.Signature:
        return inspect.signature(self.function)

    @cached_property
    def parameters(self) -> tuple[str, ...]:
        """Names of the positional parameters."""
        return tuple(p.name for p in self.signature.parameters.values() if p.kind is not p.KEYWORD_ONLY)

    @cached_property
    def declared(self) -> dict[str, Any]:
        """The annotations of the keyword-only parameters. No others are ever evaluated."""
        scope: dict[str, Any] = getattr(self.function, "__globals__", {})
        return {
            p.name: eval(_code(p.annotation), scope) if isinstance(p.annotation, str) else p.annotation
            for p in self.signature.parameters.values()
            if p.kind is p.KEYWORD_ONLY
        }

    @cached_property
    def option_types(self) -> dict[str, Any]:
        """The declared types of the options."""
        return self.declared

    @cached_property
    def defaults(self) -> dict[str, Any]:
        """The defaults of the options that have one."""
        parameters = self.signature.parameters
        return {
            n: parameters[n].default for n in parameters if n in self.option_types and not self.requires(n)
        }

    def requires(self, option: str) -> bool:
        """True for an option without a default."""
        return self.signature.parameters[option].default is inspect.Parameter.empty

    @cached_property
    def model(self) -> type[BaseModel]:
        """The pydantic model that holds the options."""
        fields: dict[str, Any] = {
            name: (kind, ... if self.requires(name) else self.defaults[name])
            for name, kind in self.option_types.items()
        }
        config = ConfigDict(strict=True, extra="forbid", frozen=True)
        return create_model(f"{self.name}_options", __config__=config, **fields)


@dataclass(frozen=True)
class Loss(Primitive):
    """A loss, as `decorators.loss` describes it: natural values, not reduced, activated, masked or weighted."""

    activation: str | None = None
    reduction: str = "mean"
    ignore_index: int | None = None
    metric_only: bool = False
    range: tuple[float, float] | None = None
    zero_when: str = ""
    extra_axis: str = ""
    given: str = ""
    nonnegative: tuple[str, ...] = ()
    whole: bool = False
    edge: Callable[..., tuple[int, int]] | None = field(default=None, repr=False)
    index: bool = False
    needs: dict[str, tuple[str, Any]] = field(default_factory=dict[str, tuple[str, Any]], hash=False)
    version: int = 1
    like: dict[str, Preset] = field(default_factory=dict[str, Preset], hash=False)
    kernels: dict[str, Callable[..., Any]] = field(
        default_factory=dict[str, Callable[..., Any]], repr=False, compare=False
    )

    @cached_property
    def axes(self) -> dict[str, tuple[str, ...]]:
        """The axes of each parameter, as the annotations name them."""
        return {name: _axes(self.signature.parameters[name].annotation) for name in self.parameters}

    @cached_property
    def result_axes(self) -> tuple[str, ...]:
        """The axes of the natural values: `('b', 'c')` for one number per sample and class."""
        return _axes(self.signature.return_annotation)

    @cached_property
    def sums(self) -> tuple[str, ...]:
        """The axes that its sums keep: those of the result, unless `total` is annotated with finer ones."""
        return self.axes.get("total") or self.result_axes

    @cached_property
    def skips(self) -> bool:
        """True if it returns (values, counts): which of its values count."""
        return str(self.signature.return_annotation).startswith("tuple[")

    @property
    def takes_net(self) -> bool:
        """True if it reads through a network, which decides about shapes."""
        return "net" in self.parameters

    @cached_property
    def is_flat(self) -> bool:
        """True if it reads the pixels of space in any order, as one axis `n`."""
        return self.axes[self.views[0]] == ("b", "c", "n")

    @cached_property
    def is_region(self) -> bool:
        """True if each value is that of a whole region, of one class."""
        return self.has_classes and (self.has_total or (self.whole and self.result_axes == ("b", "c")))

    @cached_property
    def views(self) -> tuple[str, ...]:
        """The parameters that are views of the prediction."""
        return tuple(name for name in self.parameters if name in VIEWS)

    @property
    def wants(self) -> str:
        """The view that the formula is about, which a written activation has to give: "probs" for dice and bce."""
        if self.given:
            return self.given
        kinds = {VIEWS[name] for name in self.views}
        return "probs" if kinds <= {"probs", "log_probs"} else VIEWS[self.views[0]]

    @property
    def inherits(self) -> bool:
        """True if it takes the activation that the other terms use on the same prediction."""
        return self.wants == "probs" and self.activation is None

    @cached_property
    def operands(self) -> tuple[Operand, ...]:
        """The tensors that the user hands over, in the order of `loss@(first, second)`."""
        operands = [Operand("pred", "pred")]
        for name in self.parameters:
            if name in TARGETS and "target" not in (o.name for o in operands):
                operands.append(Operand("target", "target"))
            elif name not in VIEWS and name not in TARGETS and name not in GIVEN:
                operands.append(Operand(name, None))
        return tuple(operands)

    @property
    def has_total(self) -> bool:
        """True if it sums over a region through `total`."""
        return "total" in self.parameters

    @property
    def is_map(self) -> bool:
        """True if a block of the batch or of space can be computed without the others.

        A star in the axes of the result says so: each of its elements reads its own position alone.
        """
        return not self.whole and (self.has_total or any(axis.startswith("*") for axis in self.result_axes))

    @cached_property
    def mixes_samples(self) -> bool:
        """True if a value reads other samples of the batch.

        A loss that is `whole` does unless its axes keep samples apart: rows (b, d) are compared with rows.
        """
        is_kept = any(axes[:1] == ("b",) for axes in self.axes.values())
        return self.whole and (not is_kept or self.axes[self.views[0]] == ("b", "d"))

    @property
    def has_classes(self) -> bool:
        """True if axis 1 of the prediction is one of classes."""
        return bool(CLASSED & {VIEWS[name] for name in self.views})

    @property
    def reads_classes(self) -> bool:
        """True if its target holds classes, one of which can be a label to ignore."""
        named = {"labels", "target", "positive_truth", "signs"} & set(self.parameters)
        return bool(self.has_classes and named) or "indices" in self.parameters

    def kernel(self, activation: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Registers a kernel that computes `loss(activation)` from the logits, more exactly or faster.

        It takes `logits` in place of the views and must agree with the formula, which a test checks. A
        kernel for "identity" takes the one view as it stands; a loss that is one number has only this one,
        for tensors that are computed whole and without a mask. A kernel with a keyword `reduction` (none,
        mean, sum) is asked for the mean or the sum where nothing is weighted or masked. With a keyword
        `ignore_index` too, that label is left out; with a last parameter `mask`, the places where that is
        False. One that also takes a `class_weight` divides its mean by the weights of the labels.

        Raises TypeError for a loss that cannot have it.
        """
        if self.has_total and (self.result_axes or activation != "identity"):
            raise TypeError(
                f"loss {self.name}: of what has `total`, only one number of one view has a kernel"
            )

        def register(function: Callable[..., Any]) -> Callable[..., Any]:
            self.kernels[activation] = function
            KERNELS.append(function)
            return function

        return register

    def slope(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Registers values and derivative in one function: a kernel of "identity" with a backward of its own.

        It takes what the loss takes, and may compute in place: torch differentiates nothing in it. The
        slope has the shape of the view; for one value per row or per sample it is the derivative of that
        value by each element. A loss whose values read neighbours may return a function `grad_output ->
        grad_input` in place of the tensor (after a mean `grad_output` is one number). A slope that owns its
        memory is multiplied in place and becomes the gradient; one that is an input or the values
        themselves is not written to. A test compares it with the formula.
        """
        self.kernel("identity")(Sloped(self.function, function))
        return function


@dataclass(frozen=True)
class Activation(Primitive):
    """An activation: a function from one view of the prediction to another."""

    takes: str = "logits"
    gives: str = "probs"
    over: Literal["element", "class", "row"] = "element"


@dataclass(frozen=True)
class Reduction(Primitive):
    """A reduction: natural values to one number, as `decorators.reduction` describes it.

    Parameters: values, weights, counted; `total` where it only sums. The sums of one `per_sample` keep the
    first axis.
    """

    per_sample: bool = False

    @property
    def has_total(self) -> bool:
        """True if it is arithmetic on sums."""
        return "total" in self.parameters

    @property
    def reads_truth(self) -> bool:
        """True if it tells positives from negatives."""
        return "positive" in self.parameters


@dataclass(frozen=True)
class Function(Primitive):
    """A function of the language: arithmetic on numbers and tensors. One without `fold` needs an axis."""

    reduces: bool = False
    fold: Callable[..., float] | None = field(default=None, repr=False)


@cache
def _code(annotation: str) -> CodeType:
    """The code of an annotation; many options have the same."""
    return compile(annotation, "<string>", "eval")


def _axes(annotation: object) -> tuple[str, ...]:
    """The axes in an annotation: `Float[Tensor, "b c *space"]` -> ('b', 'c', '*space')."""
    if annotation is inspect.Parameter.empty:
        return ()
    match = re.search(r"""["']([^"']*)["']""", str(annotation))
    return tuple(match[1].split()) if match else ()
