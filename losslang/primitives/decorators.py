"""Decorators: a function whose signature says enough becomes a Primitive of the language."""

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
    edge: Callable[..., tuple[int, int]] | None = None,
    index: bool = False,
    needs: Mapping[str, tuple[str, Any]] | None = None,
    version: int = 1,
    like: Mapping[str, str | Preset] | None = None,
) -> Callable[[Callable[..., Any]], Loss]:
    """Registers a loss: the decorated function, whose parameters, annotations and docstring say the rest.

    Args:
        aliases: Other names of it. One may carry an activation: `("sigmoid_focal = focal(sigmoid)",)`.
        paper: Where it is from, as `losslang show` prints it.
        activation: The default activation; with None a loss of probabilities takes that of the other terms.
        reduction: The default reduction.
        ignore_index: The label that is ignored unless the program names another.
        metric_only: It has no gradient, and stands only inside of `metric(...)`.
        range: The least and the largest value: a law that the tests hold it to.
        zero_when: When it is 0, "perfect" or "equal": another law.
        extra_axis: An option that is a list, whose entries are the last axis of the prediction.
        given: The view that the prediction is taken to be, where that is not the one that the parameters
            name (`nll`: "log_probs").
        nonnegative: Operands whose values the first call checks.
        whole: An element of the result reads more than its own position, as in a sort, a convolution or a sum
            inside, so the loss cannot be computed in blocks.
        edge: A function of the options that says how many pixels at both ends of each axis of space have no
            value: where windows must lie inside an image.
        index: Larger is better, as of a similarity: `check` warns where it would be made small.
        needs: Options that have an effect only beside a value of another one, as
            `{"sigma": ("kernel", "gaussian")}`.
        version: One more whenever the same text gives other numbers than before. It is in every lock, and in
            the fingerprint from 2 on.
        like: The options, or a Preset, that give the number of a library, by the names of LIBRARIES.

    Raises:
        TypeError: The signature does not say enough: a parameter or the result has no axes, no parameter is a
            view, or an option is one that the compiler applies to every loss.

    Example:
        >>> from losslang.vocabulary import Float, NonNegative, Tensor
        >>> @losslang.loss(activation="identity")
        ... def bent(
        ...     values: Float[Tensor, "*shape"], target: Float[Tensor, "*shape"], *, bend: NonNegative = 1.0
        ... ) -> Float[Tensor, "*shape"]:
        ...     '''sqrt(e^2 + b^2) - b.'''
        ...     return ((values - target).square() + bend**2).sqrt() - bend
        >>> losslang.check("bent(bend=0.1)")
        ()
    """

    def define(function: Callable[..., Any]) -> Loss:
        described = Loss(
            name_of(function),
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
            edge=edge,
            index=index,
            needs=dict(needs or {}),
            version=version,
            like={name: as_preset(declared) for name, declared in (like or {}).items()},
        )
        is_described(described)
        _is_a_loss(described)
        DEFINED.append(described)
        return described

    return define


def activation(
    *,
    takes: str = "logits",
    gives: str = "probs",
    over: Literal["element", "class", "row"] = "element",
    paper: str = "",
) -> Callable[[Callable[..., Any]], Activation]:
    """Registers an activation: the decorated function turns one view of the prediction into another.

    Args:
        takes: The view that it takes: "logits", "probs", "log_probs", "values", ..., or "any".
        gives: The view that it gives.
        over: "element" where each element is computed by itself, "class" where axis 1 is one distribution,
            "row" where the last axis is one embedding.
        paper: Where it is from.

    Raises:
        TypeError: A view does not exist, or an option has no type.

    Example:
        >>> @losslang.activation()
        ... def hard_sigmoid(logits):
        ...     '''min(max(x / 6 + 1 / 2, 0), 1).'''
        ...     return (logits / 6 + 0.5).clamp(0, 1)
        >>> losslang.check("bce(hard_sigmoid)")
        ()
    """

    def define(function: Callable[..., Any]) -> Activation:
        made = Activation(name_of(function), function, (), paper, takes=takes, gives=gives, over=over)
        is_described(made)
        known = {*VIEWS.values(), "any"}
        if takes not in known or gives not in known:
            raise TypeError(f"activation {made.name}: takes and gives are among {', '.join(sorted(known))}")
        DEFINED.append(made)
        return made

    return define


def reduction(*, per_sample: bool = False) -> Callable[[Callable[..., Any]], Reduction]:
    """Registers a reduction: the decorated function makes one number of the natural values of a loss.

    It takes `values` (weights applied, 0 where masked), `weights` (None, or the factor of each value) and
    `counted` (None, or False where masked), all of one shape. One that takes `total` too is arithmetic on
    sums and never needs all values at once; one that takes `positive` is handed for each value how far its
    truth is not the background.

    Args:
        per_sample: The sums of `total` keep the first axis.

    Raises:
        TypeError: The parameters are not these, or an option has no type.

    Example:
        >>> @losslang.reduction()
        ... def largest(values, weights, counted):
        ...     '''max v.'''
        ...     return values.max()
        >>> losslang.check("l1(reduction=largest)")
        ()
    """

    def define(function: Callable[..., Any]) -> Reduction:
        made = Reduction(name_of(function), function, per_sample=per_sample)
        is_described(made)
        if made.parameters not in (REDUCED, (*REDUCED, "total"), (*REDUCED, "positive")):
            more = "and `total` or `positive`"
            raise TypeError(f"reduction {made.name}: its parameters are values, weights, counted {more}")
        DEFINED.append(made)
        return made

    return define


def function(
    *, fold: Callable[..., float] | None = None, reduces: bool = False
) -> Callable[[Callable[..., Any]], Function]:
    """Registers a function: arithmetic on numbers and tensors of a program.

    An option `dim` counts the axes of the tensor: a function that `reduces` keeps them with size 1. Functions
    with one, and those that reduce, are refused of a loss, which is one number already.

    Args:
        fold: The same function of plain floats, which folds constants before anything runs. Only a function
            that needs an axis has none.
        reduces: Of one tensor it gives one number, or one along each `dim`.

    Raises:
        TypeError: An option has no type, the function has no name of its own, or `fold` is missing.

    Example:
        >>> @losslang.function(fold=lambda x: x * x)
        ... def squared(x):
        ...     '''x^2.'''
        ...     return x * x
        >>> losslang.check("squared(3)*ce")
        ()
    """

    def define(function: Callable[..., Any]) -> Function:
        made = Function(name_of(function), function, reduces=reduces, fold=fold)
        is_described(made)
        if fold is None and ("dim" not in made.option_types or not made.requires("dim")):
            raise TypeError(f"function {made.name}: `fold` computes it of plain numbers")
        DEFINED.append(made)
        return made

    return define


def is_described(made: Primitive) -> None:
    """Raises TypeError for a signature that says less than the language needs to know."""
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
    """Raises TypeError for a loss without a view, without axes, or with an option of the compiler."""
    if not made.views:
        raise TypeError(f"loss {made.name}: no parameter is a view ({', '.join(VIEWS)})")
    bare = [n for n in made.parameters if n not in GIVEN and not made.axes[n]]
    if bare or made.signature.return_annotation is inspect.Signature.empty:
        what = bare or "the result"
        raise TypeError(f'loss {made.name}: annotate {what} with axes, as Float[Tensor, "b c"]')
    # Words of `classes` may stand beside the universal list of that name.
    hidden = [name for name in made.option_types if name in UNIVERSAL and name != "classes"]
    if hidden:
        raise TypeError(f"loss {made.name}: every loss has {hidden} already; the compiler applies it")


def name_of(function: Callable[..., Any]) -> str:
    """The name in the language: `sum_` is `sum`."""
    return function.__name__.rstrip("_")
