"""The decorators: a function whose signature says enough becomes a Primitive of the language."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Literal

from losslang.primitives.presets import Preset, as_preset
from losslang.primitives.primitive import Activation, Function, Loss, Primitive, Reduction
from losslang.vocabulary import GIVEN, UNIVERSAL, VIEWS

REDUCED = ("values", "weights", "counted")

DEFINED: list[Primitive] = []
"""Every primitive decorated so far, in order; the registry collects them."""


def loss(
    *,
    aliases: tuple[str, ...] = (),
    paper: str = "",
    activation: str | None = None,
    reduction: str = "mean",
    ignore_index: int | None = None,
    metric_only: bool = False,
    range: tuple[float, float] | None = None,
    zero_when: str = "",
    extra_axis: str = "",
    given: str = "",
    nonnegative: tuple[str, ...] = (),
    whole: bool = False,
    index: bool = False,
    like: Mapping[str, str | Preset] | None = None,
) -> Callable[[Callable[..., Any]], Loss]:
    """Registers a loss. Its parameters and annotations say the rest.

    `activation` and `reduction` are the defaults; `range` and `zero_when` are laws that the tests
    hold every loss to; `extra_axis` names a list option whose entries are a last axis of the
    prediction; `given` names the view that the prediction is taken to be when it is not the one
    that the mathematics is about (`nll`: log_probs); `nonnegative` names operands that the first
    call checks; `whole` says that an element of the result reads more than its own place (a sort, a
    convolution, a sum inside), so that it cannot be computed in parts; `index` that larger is better, as
    of a similarity: `check` warns where it would be made small; `like` gives, for libraries of
    `LIBRARIES`, the options of this language that make their numbers, or a `Preset`. An alias may carry an activation:
    `aliases=("sigmoid_focal = focal(sigmoid)",)`.
    """

    def define(function: Callable[..., Any]) -> Loss:
        described = Loss(
            _name(function),
            function,
            aliases,
            paper,
            activation=activation,
            reduction=reduction,
            ignore_index=ignore_index,
            metric_only=metric_only,
            range=range,
            zero_when=zero_when,
            extra_axis=extra_axis,
            given=given,
            nonnegative=nonnegative,
            whole=whole,
            index=index,
            like={name: as_preset(declared) for name, declared in (like or {}).items()},
        )
        _is_described(described)
        _is_a_loss(described)
        DEFINED.append(described)
        return described

    return define


def activation(
    *,
    takes: str = "logits",
    gives: str = "probs",
    over: Literal["element", "class"] = "element",
    paper: str = "",
) -> Callable[[Callable[..., Any]], Activation]:
    """Registers an activation: which view it takes, which it gives, and over which axis."""

    def define(function: Callable[..., Any]) -> Activation:
        made = Activation(_name(function), function, (), paper, takes=takes, gives=gives, over=over)
        _is_described(made)
        known = {*VIEWS.values(), "any"}
        if takes not in known or gives not in known:
            raise TypeError(f"activation {made.name}: takes and gives are among {', '.join(sorted(known))}")
        DEFINED.append(made)
        return made

    return define


def reduction(*, per_sample: bool = False) -> Callable[[Callable[..., Any]], Reduction]:
    """Registers a reduction of (values, weights, counted), and of `total` where it only sums.

    One that takes `total` never needs all values at once. `per_sample` keeps the first axis of its sums.
    One that asks for `positive` is told how far what is true of each value is not the background.
    """

    def define(function: Callable[..., Any]) -> Reduction:
        made = Reduction(_name(function), function, per_sample=per_sample)
        _is_described(made)
        if made.parameters not in (REDUCED, (*REDUCED, "total"), (*REDUCED, "positive")):
            more = "and `total` or `positive`"
            raise TypeError(f"reduction {made.name}: its parameters are values, weights, counted {more}")
        DEFINED.append(made)
        return made

    return define


def function(
    *, fold: Callable[..., float], reduces: bool = False
) -> Callable[[Callable[..., Any]], Function]:
    """Registers arithmetic. `fold` is the same on plain floats; `reduces` marks what gives one number."""

    def define(function: Callable[..., Any]) -> Function:
        made = Function(_name(function), function, reduces=reduces, fold=fold)
        _is_described(made)
        if made.option_types:
            raise TypeError(f"function {made.name}: functions take no options")
        DEFINED.append(made)
        return made

    return define


def _is_described(made: Primitive) -> None:
    """Raises TypeError for a signature that says less than the language needs."""
    if not made.name.isidentifier():
        raise TypeError(f"{made.kind}: `{made.name}` cannot be a name; decorate a function made by `def`")
    for parameter in made.signature.parameters.values():
        bare = parameter.annotation is parameter.empty
        if parameter.kind is parameter.KEYWORD_ONLY and bare:
            raise TypeError(f"{made.kind} {made.name}: annotate the option `{parameter.name}`")
        if parameter.kind is parameter.VAR_KEYWORD:
            raise TypeError(f"{made.kind} {made.name}: name the options instead of **{parameter.name}")
    try:
        _ = made.option_types
    except NameError as error:
        raise TypeError(
            f"{made.kind} {made.name}: {error}; options need types known in their module"
        ) from None


def _is_a_loss(made: Loss) -> None:
    """Raises TypeError for a loss whose parameters or axes say nothing."""
    if not made.views:
        raise TypeError(f"loss {made.name}: no parameter is a view ({', '.join(VIEWS)})")
    bare = [n for n in made.parameters if n not in GIVEN and not made.axes[n]]
    if bare or made.signature.return_annotation is inspect.Signature.empty:
        what = bare or "the result"
        raise TypeError(f'loss {made.name}: annotate {what} with axes, as Float[Tensor, "b c"]')
    hidden = [name for name in made.option_types if name in UNIVERSAL]
    if hidden:
        raise TypeError(f"loss {made.name}: every loss has {hidden} already; the compiler applies it")


def _name(function: Callable[..., Any]) -> str:
    return function.__name__.rstrip("_")
