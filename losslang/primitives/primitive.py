"""What a signature says. A decorated function becomes a described, torch-free Primitive.

    @loss(paper="Huber 1964")
    def huber(values: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"], *,
              delta: Positive = 1.0) -> Float[Tensor, "*shape"]:
        \"\"\"e^2 / 2 inside delta, delta (|e| - delta / 2) outside.\"\"\"

The names of the parameters say what the loss reads (VIEWS, TARGETS, GIVEN), the annotations which
axes, the keyword-only parameters which options with which bounds, the docstring the formula. The
annotations of tensors stay strings: nothing here imports torch.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict, create_model

from losslang.primitives.presets import Preset
from losslang.vocabulary import CLASSED, GIVEN, TARGETS, VIEWS

KERNELS: list[Callable[..., Any]] = []
"""Every kernel registered so far, in order: what was compiled before one of them goes on without it."""


@dataclass(frozen=True)
class Operand:
    """A tensor that a loss takes: its name for the user and what it is if nothing is said."""

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
        return type(self).__name__.lower()

    @property
    def origin(self) -> str:
        """Where the function is defined: its module and its name there."""
        return f"{self.function.__module__}.{self.function.__qualname__}"

    @cached_property
    def summary(self) -> str:
        """The first line of the docstring: a loss's formula."""
        return self.doc.partition("\n")[0]

    @cached_property
    def doc(self) -> str:
        return inspect.cleandoc(self.function.__doc__ or "")

    @cached_property
    def signature(self) -> inspect.Signature:
        return inspect.signature(self.function)

    @cached_property
    def parameters(self) -> tuple[str, ...]:
        """Names of the positional parameters."""
        return tuple(p.name for p in self.signature.parameters.values() if p.kind is not p.KEYWORD_ONLY)

    @cached_property
    def option_types(self) -> dict[str, Any]:
        """The declared types of the options. Only these annotations are ever evaluated."""
        named = self.signature.parameters.values()
        scope: dict[str, Any] = getattr(self.function, "__globals__", {})
        return {
            p.name: eval(p.annotation, scope) if isinstance(p.annotation, str) else p.annotation
            for p in named
            if p.kind is p.KEYWORD_ONLY
        }

    @cached_property
    def defaults(self) -> dict[str, Any]:
        parameters = self.signature.parameters
        return {n: parameters[n].default for n in self.option_types if not self.requires(n)}

    def requires(self, option: str) -> bool:
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
class Sloped:
    """A kernel that knows its derivative: `slope` gives values and d value / d x, `plain` the values alone."""

    plain: Callable[..., Any]
    slope: Callable[..., tuple[Any, Any]]

    def __call__(self, x: Any, *others: Any, reduction: str = "none", **options: Any) -> Any:
        from losslang.tensors.custom_gradient import applied

        return applied(self.plain, self.slope, options, reduction, x, *others)


@dataclass(frozen=True)
class Loss(Primitive):
    """A loss: natural values, never reduced, activated, masked or class-weighted by itself."""

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
    index: bool = False
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
        """Whether it says with its values which of them count."""
        return str(self.signature.return_annotation).startswith("tuple[")

    @property
    def takes_net(self) -> bool:
        """Whether it reads through a network, which says what shapes it takes."""
        return "net" in self.parameters

    @cached_property
    def is_flat(self) -> bool:
        """Whether it reads the places of space in any order, as one axis `n`."""
        return self.axes[self.views[0]] == ("b", "c", "n")

    @cached_property
    def is_region(self) -> bool:
        """Whether its values are those of whole regions, each of one class."""
        return self.has_classes and (self.has_total or (self.whole and self.result_axes == ("b", "c")))

    @cached_property
    def views(self) -> tuple[str, ...]:
        return tuple(name for name in self.parameters if name in VIEWS)

    @property
    def wants(self) -> str:
        """The view that a written activation has to give: what the mathematics is about."""
        if self.given:
            return self.given
        kinds = {VIEWS[name] for name in self.views}
        return "probs" if kinds <= {"probs", "log_probs"} else VIEWS[self.views[0]]

    @property
    def inherits(self) -> bool:
        """Whether the loss takes the activation that the other terms use on the same prediction."""
        return self.wants == "probs" and self.activation is None

    @cached_property
    def operands(self) -> tuple[Operand, ...]:
        """What the user hands over, in the order of `loss@(first, second)`."""
        found = [Operand("pred", "pred")]
        for name in self.parameters:
            if name in TARGETS and "target" not in (o.name for o in found):
                found.append(Operand("target", "target"))
            elif name not in VIEWS and name not in TARGETS and name not in GIVEN:
                found.append(Operand(name, None))
        return tuple(found)

    @property
    def has_total(self) -> bool:
        return "total" in self.parameters

    @property
    def is_map(self) -> bool:
        """Whether a part of the batch or of space can be computed without the rest.

        A star in the result says so: each of its elements reads its own place alone.
        """
        return not self.whole and (self.has_total or any(axis.startswith("*") for axis in self.result_axes))

    @property
    def has_classes(self) -> bool:
        """Whether the prediction has a class axis: dimension 1."""
        return bool(CLASSED & {VIEWS[name] for name in self.views})

    @property
    def reads_classes(self) -> bool:
        """Whether its target holds classes, one of which can be a label to ignore."""
        named = {"labels", "target", "positive_truth", "signs"} & set(self.parameters)
        return bool(self.has_classes and named) or "indices" in self.parameters

    def kernel(self, activation: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Registers one kernel that computes `loss(activation)` from the logits, more exactly or faster.

        That of `identity` computes the loss from its one view as it stands; a loss that is one number has
        only this one, for tensors that are computed whole and not masked. A kernel with a keyword
        `reduction` (none, mean, sum) is asked for the mean or the sum where nothing is weighed or masked.

        It takes `logits` in place of the views, and must agree with the formula: a test holds it to it.
        With a keyword `ignore_index` too, that is a label to leave out, whatever stands beside it. A result that
        is NaN then, as the mean of none may be, is computed again under a mask; on a GPU it is not.
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
        """Registers the values together with their derivative by the one view: a kernel of `identity`.

        It takes what the loss takes, and may compute in place: torch differentiates nothing in it. The slope
        has the shape of the view; of a value per row or per sample it is that value's, by each element. Where
        a value reads its neighbours, a function stands for the slope, from the flow into the values (one number
        after a mean) to that into the view. A slope with memory of its own turns into the gradient; one that is
        an input or the values themselves is multiplied. A test holds it to the formula.
        """
        self.kernel("identity")(Sloped(self.function, function))
        return function


@dataclass(frozen=True)
class Activation(Primitive):
    """A function between views of the prediction."""

    takes: str = "logits"
    gives: str = "probs"
    over: Literal["element", "class"] = "element"


@dataclass(frozen=True)
class Reduction(Primitive):
    """Natural values to one number. Parameters: values, weights, counted; `total` where it only sums.

    The sums of one `per_sample` keep the first axis.
    """

    per_sample: bool = False

    @property
    def has_total(self) -> bool:
        return "total" in self.parameters

    @property
    def reads_truth(self) -> bool:
        """Whether it tells positives from negatives."""
        return "positive" in self.parameters


@dataclass(frozen=True)
class Function(Primitive):
    """Arithmetic on numbers and tensors."""

    reduces: bool = False
    fold: Callable[..., float] | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Planned(Primitive):
    """A name that the language has and this version cannot compile yet."""

    role: str = "combinator"


def _axes(annotation: object) -> tuple[str, ...]:
    """`Float[Tensor, "b c *space"]` -> ('b', 'c', '*space')."""
    if annotation is inspect.Parameter.empty:
        return ()
    found = re.search(r"""["']([^"']*)["']""", str(annotation))
    return tuple(found[1].split()) if found else ()


def choices(kind: object) -> tuple[str, ...]:
    """The words that a declared type allows: the choices of a Literal, also inside a list or a union."""
    if get_origin(kind) is Literal:
        return tuple(str(choice) for choice in get_args(kind))
    return tuple(word for inner in get_args(kind) if isinstance(inner, object) for word in choices(inner))
