"""Traces the sums of a walk to polynomials: its steps run once on symbols instead of tensors.

The functions are the ones that compute with tensors. A symbol refuses all but sums, products and powers (a
comparison, an exponential, a sort); such a walk is differentiated block by block by torch instead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, cast

from losslang.plan.operations import views
from losslang.plan.operations.sums import Sum
from losslang.plan.plan import Ref, Step
from losslang.primitives.primitive import Loss
from losslang.registry import Registry
from losslang.runtime.binding import bound
from losslang.runtime.blocks.split import Walk
from losslang.runtime.closed.algebra import ONE_HOT, Atom, Poly
from losslang.runtime.closed.symbols import (
    LABEL,
    Hidden,
    Labels,
    Mask,
    Outside,
    Refused,
    Symbol,
    UntraceableError,
)
from losslang.vocabulary import VIEWS

FIRST = ("logits", "target", ONE_HOT)
"""Tensors that a block reads: it masks them before it computes anything of them."""
VIEWED = ("logits", "softplus", "probs", "log_probs", "target", ONE_HOT)
COMPUTED = frozenset(VIEWED) | {name + LABEL for name in VIEWED}
"""Tensors that a block can compute, of all elements or at the class of each place."""


class Part(NamedTuple):
    """One sum: a polynomial over elements, or over places where the prediction's class axis is gone."""

    poly: Poly
    by_place: bool

    def __str__(self) -> str:
        return str(self.poly)


class Number(NamedTuple):
    """The number of elements, or of places, that are summed."""

    by_place: bool

    def __str__(self) -> str:
        return "1"


class Sums(NamedTuple):
    """The sums of one step, in the order in which it gets its totals."""

    found: tuple[Part | Number, ...]

    @property
    def parts(self) -> tuple[Part, ...]:
        return tuple(part for part in self.found if isinstance(part, Part))

    def __str__(self) -> str:
        return ", ".join(map(str, self.found))


class Trace(NamedTuple):
    """All sums of a walk as polynomials.

    `prediction`, `target` and `masks` name inputs of the walk; `prepares` is the step that brings the target
    to the form that losses read. With masks every sum is masked by one of them, and a call fits if they are
    equal.
    """

    activation: str
    prediction: str
    target: str
    prepares: Step
    masks: tuple[str, ...]
    sums: tuple[Sums, ...]

    def __str__(self) -> str:
        return "\n".join(f"Σ {own}" for own in self.sums)


def trace(walk: Walk, sums: Sequence[Sum], registry: Registry, given: Mapping[str, Any]) -> Trace:
    """Traces a walk over inputs like those given. Raises UntraceableError."""
    return _Tracer(walk, registry, given).trace(sums)


class _Tracer:
    def __init__(self, walk: Walk, registry: Registry, given: Mapping[str, Any]):
        self.walk = walk
        self.registry = registry
        self.given = given
        known = dict(walk.numbers)
        self.values: dict[str, Any] = {name: known.get(name, Outside(name)) for name, _ in walk.inputs}
        self.activations: set[str] = set()
        self.predictions: set[str] = set()
        self.prepared: dict[tuple[str, str], Step] = {}
        self.masks: dict[str, None] = {}
        self.hidden: set[str] = set()

    def trace(self, sums: Sequence[Sum]) -> Trace:
        for step in self.walk.maps:
            if not step.check:
                self.values[step.name] = self.step(step)
        found = [
            self.parts(end, [self.value(a) for a in step.inputs])
            for end, step in zip(sums, self.walk.sums, strict=True)
        ]
        if len(self.activations) != 1 or len(self.predictions) != 1 or len(self.prepared) != 1:
            raise UntraceableError("more than one prediction, activation or target")
        views = dict(self.walk.views)
        if not self.hidden.issubset(views.get(mask, mask) for mask in self.masks):
            raise UntraceableError("a target that is hidden where it counts")
        (((target, _), prepares),) = self.prepared.items()
        masks = tuple(self.masks)
        read = frozenset[str]().union(*(part.poly.names for own in found for part in own.parts))
        if not read <= COMPUTED:
            raise AssertionError(
                f"not a closed form: it reads {set(read - COMPUTED)}, which no block computes"
            )
        return Trace(self.activations.pop(), self.predictions.pop(), target, prepares, masks, tuple(found))

    def value(self, argument: Any) -> Any:
        return self.values[argument.name] if isinstance(argument, Ref) else argument

    def parts(self, end: Sum, arguments: Sequence[Any]) -> Sums:
        if end.at is None:
            raise UntraceableError("values that are kept")
        try:
            parts, mask = end.handed(arguments)
        except Exception as error:
            # A function of tensors, somebody else's too, may raise anything when it is handed a symbol.
            raise UntraceableError(str(error)) from error
        values = parts[0].value if isinstance(parts[0], Hidden) else parts[0]
        is_masked = isinstance(parts[0], Hidden) or isinstance(mask, Mask)
        if not isinstance(values, Symbol) or is_masked != bool(self.masks):
            raise UntraceableError("a mask")
        number = Number(by_place=values.ndim < len(self.walk.shape))
        if isinstance(parts[0], Hidden) and any(isinstance(part, Symbol) for part in parts):
            raise UntraceableError("a sum that is masked beside one that is not")
        found = [self.part(part, number) for part in parts if not isinstance(part, (int, float))]
        return Sums(tuple(found) if mask is None else (*found, number))

    def part(self, part: Any, number: Number) -> Part | Number:
        """Returns one of the sums that a step asks for."""
        match part:
            case Symbol() | Hidden():
                values = part.value if isinstance(part, Hidden) else part
                return Part(values.poly, by_place=values.ndim < len(self.walk.shape))
            case Mask():
                return number
            case _:
                raise UntraceableError("a tensor from outside")

    def step(self, step: Step) -> Any:
        """Computes a step on symbols: by the rule for its operation, else by its own function."""
        values = [self.value(a) for a in step.inputs]
        rule = RULES.get(step.operation) or RULES.get(step.kind)
        found = None if rule is None else rule(self, step, values)
        return self.run(step, values) if found is None else found

    def run(self, step: Step, values: Sequence[Any]) -> Any:
        """Calls the function of a step on symbols. Only a sum of what it refuses is beyond a closed form."""
        # A loss may be handed what it does not use.
        if step.kind != "loss" and any(isinstance(value, Refused) for value in values):
            return Refused(f"{step.operation} of what is refused")
        function, _ = bound(step, self.registry)
        try:
            return function(*values)
        except Exception as error:
            return Refused(str(error))

    # -- rules: each returns None where the function of the step is to run

    def prediction(self, step: Step, values: Sequence[Any]) -> Symbol | None:
        """An input of the walk becomes the symbol of the logits."""
        if not isinstance(values[0], Outside):
            return None
        self.predictions.add(values[0].name)
        return Symbol(Poly.atom(Atom("logits")), len(self.walk.shape))

    def mask(self, step: Step, values: Sequence[Any]) -> Mask | Refused:
        """An input of the walk becomes a mask; a mask that is computed has no closed form."""
        if not isinstance(values[0], Outside):
            return Refused("a mask")
        self.masks[values[0].name] = None
        return Mask(values[0].name)

    def same_mask(self, step: Step, values: Sequence[Any]) -> Mask | None:
        """A mask over channels or over values is the same mask: `fits` looks that it is of places."""
        return values[0] if isinstance(values[0], Mask) else None

    def zero_masked(self, step: Step, values: Sequence[Any]) -> Any:
        """Logits and targets stay as they are, since a block masks them.

        Computed values are marked as masked.
        """
        match values[0], values[1]:
            case Symbol() as value, Mask():
                return value if str(value.poly) in FIRST else Hidden(value)
            case Outside() as value, Outside() as mask:
                self.hidden.add(mask.name)
                return value
            case _:
                return self.zero_masked_raw(step, values)

    def zero_masked_raw(self, step: Step, values: Sequence[Any]) -> Any:
        """A target stays as it is, since a block masks it."""
        is_target = isinstance(values[0], (Outside, Labels)) and isinstance(values[1], Mask)
        return values[0] if is_target else Refused("a mask")

    def activation(self, step: Step, values: Sequence[Any]) -> Symbol | None:
        """A sigmoid or a softmax becomes its probabilities."""
        return self.view(step.op, "probs", values[0]) if step.op in VIEWS_OF else None

    def logarithm(self, step: Step, values: Sequence[Any]) -> Symbol:
        """`log_complement_sigmoid` becomes the view `log_complement` of a sigmoid."""
        view, _, name = step.operation.rpartition("_")
        return self.view(name, {"log": "log_probs"}.get(view, view), values[0])

    def target(self, step: Step, values: Sequence[Any]) -> Any:
        """An input of the walk becomes the target that the loss reads.

        Class indices stay indices beside a softmax.
        """
        given = values[0]
        if not isinstance(given, Outside):
            return None
        target: Any = self.given.get(given.name)
        rank = len(self.walk.shape)
        if not hasattr(target, "shape"):
            raise UntraceableError("a target that is computed, or a number")
        shape = tuple(target.shape)
        is_index = shape != tuple(self.walk.shape) and self.walk.shape[1] > 1
        by_label = step.operation == "labels" or dict(step.options)["over"] == "class"
        if by_label and not is_index:
            raise UntraceableError("a distribution over classes")
        form = "labels" if by_label else "dense"
        self.prepared.setdefault((given.name, form), step)
        if step.operation == "labels":
            return Labels(rank - 1)
        return Symbol(Poly.atom(Atom(ONE_HOT if by_label else "target")), rank)

    def view(self, activation: str, view: str, value: Any) -> Symbol:
        if not (isinstance(value, Symbol) and value.poly == Poly.atom(Atom("logits"))):
            raise UntraceableError("an activation of something else than the prediction")
        self.activations.add(activation)
        return Symbol(VIEWS_OF[activation][view], value.ndim)

    def formula(self, step: Step, values: Sequence[Any]) -> Any:
        """Computes a kernel by the formula of its loss."""
        activation = step.kernel_activation
        if activation not in VIEWS_OF or step.named:
            return Refused(f"the kernel {step.op}")
        loss = self.registry.get(Loss, step.loss_name)
        assert loss is not None
        logits, *others = values
        given = dict(zip((n for n in loss.parameters if n not in VIEWS), others, strict=True))
        try:
            arguments = [
                self.read(n, activation, logits, given) if n in VIEWS else given[n] for n in loss.parameters
            ]
            return loss.function(*arguments, **dict(step.options))
        except Exception as error:
            raise UntraceableError(str(error)) from error

    def read(self, view: str, activation: str, logits: Any, given: Mapping[str, Any]) -> Symbol:
        """Returns a view of the prediction; `p_true` and `log_p_true` read the target too."""
        if view == "p_true":
            probs: Any = self.view(activation, "probs", logits)
            return cast("Symbol", views.true_element(probs, given["positive_truth"]))
        if view == "log_p_true":
            log_probs: Any = self.view(activation, "log_probs", logits)
            log_complement: Any = self.view(activation, "log_complement", logits)
            return cast("Symbol", views.log_true_element(log_probs, log_complement, given["positive_truth"]))
        return self.view(activation, view, logits)


def _views() -> dict[str, dict[str, Poly]]:
    """Returns the views of every activation as polynomials in the tensors that a block computes."""
    x, s, p, log_p = (Poly.atom(Atom(name)) for name in ("logits", "softplus", "probs", "log_probs"))
    return {
        "sigmoid": {"logits": x, "probs": p, "log_probs": x - s, "log_complement": -s},
        "softmax": {"logits": x, "probs": p, "log_probs": log_p},
    }


VIEWS_OF = _views()
RULES: Mapping[str, Callable[[_Tracer, Step, Sequence[Any]], Any]] = {
    "float_prediction": _Tracer.prediction,
    "mask": _Tracer.mask,
    "any_channel_mask": _Tracer.same_mask,
    "value_mask": _Tracer.same_mask,
    "zero_masked": _Tracer.zero_masked,
    "zero_masked_raw": _Tracer.zero_masked_raw,
    "dense": _Tracer.target,
    "labels": _Tracer.target,
    "activation": _Tracer.activation,
    "log_sigmoid": _Tracer.logarithm,
    "log_complement_sigmoid": _Tracer.logarithm,
    "log_softmax": _Tracer.logarithm,
    "kernel": _Tracer.formula,
}
"""Operations, and kinds of them, that are not computed by their own function."""
