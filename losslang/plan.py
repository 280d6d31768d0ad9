"""Meaning to plan: a flat list of steps, each one operation on what stands above it.

Lowering is literal: a step for everything the meaning says, textbook formulas, nothing shared. The
passes make it good; `verify` holds them to being plans.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from losslang import formatter, tree
from losslang.meaning import Apply, Choice, Constant, Expression, Input, Meaning, Reading, Term, below, show
from losslang.primitive import TARGETS, VIEWS, Activation, Loss
from losslang.registry import Registry, current_registry
from losslang.targets import Site
from losslang.text import Source


@dataclass(frozen=True)
class Ref:
    """The value of an earlier step."""

    name: str

    def __str__(self) -> str:
        return self.name


Argument = Ref | float | None


@dataclass(frozen=True)
class Step:
    """`name = operation(inputs, options)`. `check` marks a step that only looks at values."""

    name: str
    operation: str
    inputs: tuple[Argument, ...] = ()
    options: tuple[tuple[str, Any], ...] = ()
    site: Site | None = field(default=None, compare=False, repr=False)
    check: bool = False

    def __str__(self) -> str:
        inside = [_shown(i) for i in self.inputs]
        for name, value in self.options:
            path = isinstance(value, tree.Path)
            inside.append(formatter.path(value) if path else f"{name}={show(value)}")
        called = f"{self.operation}({', '.join(inside)})"
        return f"{called}" if self.check else f"{self.name} = {called}"

    @property
    def reads(self) -> tuple[str, ...]:
        return tuple(i.name for i in self.inputs if isinstance(i, Ref))


@dataclass(frozen=True)
class Output:
    """A term: its log key, its weight in the total, and the step or the number that it is."""

    name: str
    weight: float
    value: Argument
    metric: bool = False


@dataclass(frozen=True)
class Plan:
    """The steps of a program, in order, and its terms."""

    steps: tuple[Step, ...]
    outputs: tuple[Output, ...]

    def __str__(self) -> str:
        lines = [str(step) for step in self.steps]
        weighed = [f"{formatter.number(o.weight)}*{_shown(o.value)}" for o in self.outputs if not o.metric]
        lines += [f"metric {o.name}: {_shown(o.value)}" for o in self.outputs if o.metric]
        return "\n".join([*lines, f"total = {' + '.join(weighed) or '0'}"])


def _shown(argument: Argument) -> str:
    if argument is None:
        return "none"
    return str(argument) if isinstance(argument, Ref) else formatter.number(argument)


def verify(plan: Plan) -> Plan:
    """`plan`, if every step reads only what stands above it and every name is given once."""
    known: set[str] = set()
    for step in plan.steps:
        missing = [name for name in step.reads if name not in known]
        if missing or step.name in known:
            raise AssertionError(f"not a plan: {step} reads {missing} or repeats a name")
        known.add(step.name)
    for output in plan.outputs:
        if isinstance(output.value, Ref) and output.value.name not in known:
            raise AssertionError(f"not a plan: the term {output.name} is never computed")
    return plan


def lower(meaning: Meaning, registry: Registry | None = None, ignore: tuple[str, ...] = ()) -> Plan:
    """The plan of a meaning, step by literal step.

    `ignore` names entries of a mapping of losses that may go unread.
    """
    lowering = _Lowering(registry or current_registry(), meaning.source)
    outputs = tuple(lowering.term(term) for term in meaning.terms)
    lowering.completeness(meaning, ignore)
    return verify(Plan(tuple(lowering.steps), outputs))


class _Lowering:
    def __init__(self, registry: Registry, source: Source):
        self.registry = registry
        self.source = source
        self.steps: list[Step] = []
        self.counts: dict[str, int] = {}
        self.term_name = ""

    def emit(
        self, operation: str, *inputs: Argument, site: Site | None = None, check: bool = False, **options: Any
    ) -> Ref:
        """Appends a step and returns what it computes."""
        stem = operation.rpartition(":")[2]
        stem = stem if stem.isidentifier() else {"+": "sum", "*": "product"}.get(stem, "value")
        self.counts[stem] = self.counts.get(stem, 0) + 1
        name = stem if self.counts[stem] == 1 else f"{stem}{self.counts[stem]}"
        self.steps.append(Step(name, operation, inputs, tuple(options.items()), site, check))
        return Ref(name)

    # ------------------------------------------------------------------------------- terms

    def term(self, term: Term) -> Output:
        self.term_name = term.name
        value = self.scalar(term.body)
        if term.factor is not None:
            value = self.emit("math:*", self.number(term.factor), value)
        return Output(term.name, term.weight, value, term.metric)

    def scalar(self, expression: Expression) -> Argument:
        """An expression of reduced losses, numbers and scalars."""
        match expression:
            case Constant(value=value):
                return value
            case Reading():
                return self.reading(expression)
            case Apply(operator=operator, arguments=arguments) if _holds_loss(expression):
                inputs = [
                    self.scalar(a) if _holds_loss(a) or isinstance(a, Constant) else self.number(a)
                    for a in arguments
                ]
                return self.emit(f"math:{operator}", *inputs)
            case _:
                return self.number(expression)

    def number(self, expression: Expression) -> Argument:
        """A tensor expression that has to be one number."""
        if isinstance(expression, Constant):
            return expression.value
        site = Site(str(expression), str(expression), expression.span, self.source)
        return self.emit("scalar", self.tensor(expression), site=site)

    def tensor(self, expression: Expression) -> Argument:
        """A tensor expression."""
        match expression:
            case Constant(value=value):
                return value
            case Input(root=root, steps=steps, soft=soft):
                site = Site(self.term_name, str(expression), expression.span, self.source)
                return self.emit("input", site=site, path=tree.Path(root=root, steps=steps), soft=soft)
            case Apply(operator=operator, arguments=arguments):
                return self.emit(f"math:{operator}", *map(self.tensor, arguments))
            case Reading():
                raise AssertionError("the checker lets no loss into a tensor expression")

    def completeness(self, meaning: Meaning, ignore: tuple[str, ...]) -> None:
        """Entries of a mapping whose losses are read one by one must all be read."""
        read: dict[Input, list[str]] = {}
        for term in meaning.terms:
            body = term.body
            if isinstance(body, Input) and body.steps and isinstance(body.steps[-1], tree.Key):
                parent = Input(body.root, body.steps[:-1], span=body.span)
                read.setdefault(parent, []).append(body.steps[-1].name)
        every = {str(i) for t in meaning.terms for i in _inputs(t)}
        for parent, names in read.items():
            site = Site(str(parent), str(parent), parent.span, self.source)
            path = tree.Path(root=parent.root, steps=parent.steps)
            also = [
                n.removeprefix(f"{parent}.").partition(".")[0]
                for n in sorted(every)
                if n.startswith(f"{parent}.")
            ]
            self.emit("complete", site=site, path=path, read=tuple(dict.fromkeys((*names, *also, *ignore))))

    # ------------------------------------------------------------------------------- one loss

    def reading(self, reading: Reading) -> Ref:
        found = self.registry.loss(reading.loss)
        assert found is not None
        return _Use(self, found.loss, reading).lower()

    def site(self, reading: Reading, part: str) -> Site:
        """Whom to blame for an operand or an option of a use."""
        return Site(reading.name, part, reading.span_of(part), self.source)


class _Use:
    """The steps of one use of a loss: align, hide, view, evaluate, weigh, reduce."""

    def __init__(self, lowering: _Lowering, loss: Loss, reading: Reading):
        self.out = lowering
        self.loss = loss
        self.reading = reading
        self.emit = lowering.emit
        choice = reading.activation or Choice("identity")
        activation = lowering.registry.get(Activation, choice.name)
        assert activation is not None
        self.activation, self.choice = activation, choice
        self.over = activation.over
        self.views: dict[str, Ref] = {}
        self.frame = _frame(loss, self.over)

    def site(self, part: str) -> Site:
        return self.out.site(self.reading, part)

    def lower(self) -> Ref:
        self.align()
        values = self.evaluate()
        return self.reduce(values)

    # -- the tensors, in the form that the loss reads

    def align(self) -> None:
        reading, loss = self.reading, self.loss
        given = {name: self.out.tensor(operand) for name, operand in reading.operands}
        last = loss.axes[loss.views[0]][-1]
        size = {"last": int(last)} if last.isdigit() else {}
        pred = self.emit("real", given["pred"], site=self.site("pred"), **size)
        self.pred = pred
        mask = None
        if (stated := reading.get("mask")) is not None:
            mask = self.emit(
                "mask", self.out.tensor(stated), pred, site=self.site("mask"), channel=self.channel
            )
        target = given.get("target")
        index = reading.get("ignore_index")
        if isinstance(target, Ref) and index is not None and index != "none":
            kept = self.emit("kept", target, index=index)
            target = self.emit("hide", target, kept)
            laid = self.emit("mask", kept, pred, site=self.site("target"), channel=self.channel)
            mask = laid if mask is None else self.emit("both", mask, laid)
        self.mask = mask
        self.logits = pred if mask is None else self.emit("hide", pred, mask)
        if "temperature" in dict(self.choice.options):
            self.logits = self.emit("cool", self.logits, temperature=dict(self.choice.options)["temperature"])
        if self.activation.name in ("softmax", "log_softmax"):
            self.emit("check:channels", pred, site=self.site("pred"), activation=self.activation.name)
        self.target = None if "target" not in given else self.aligned(self.form(), target, "target")
        self.others = {
            name: self.aligned("like", value, name)
            for name, value in given.items()
            if name not in ("pred", "target")
        }
        for name in loss.nonnegative:
            checked = self.target if name == "target" else self.others[name]
            self.emit("check:nonnegative", checked, site=self.site(name), check=True)
        if self.activation.name == "identity" and loss.wants == "probs":
            self.emit("check:probs", self.logits, site=self.site("pred"), check=True, over=self.guess())

    @property
    def channel(self) -> int:
        """The axis that a mask of one rank less lacks; 0 where it may be the second or the last."""
        return {"rows": -1, "values": 0}.get(self.frame, 1)

    def guess(self) -> str:
        """The activation to suggest for a prediction that turns out to hold logits."""
        return "softmax" if "labels" in self.loss.parameters else "sigmoid"

    def form(self) -> str:
        """The form in which the loss reads its target."""
        names = set(self.loss.parameters)
        if "labels" in names:
            return "labels"
        if names & {"positive_truth", "p_true"}:
            return "labels" if self.over == "class" else "dense"
        if "signs" in names:
            return "signs"
        if names & {"target_probs", "target_logits"}:
            return "floats"
        return "dense" if self.loss.has_classes else "like"

    def aligned(self, form: str, value: Argument, operand: str) -> Ref:
        site = self.site(operand)
        if self.mask is not None:
            value = self.emit("hide_raw", value, self.mask)
        quantiles = dict(self.reading.options).get(self.loss.extra_axis)
        if form == "like" and isinstance(quantiles, tuple):
            aligned = self.emit("last_axis", value, self.pred, site=site, size=len(quantiles))  # pyright: ignore[reportUnknownArgumentType]
        elif form == "dense":
            aligned = self.emit("dense", value, self.pred, site=site, over=self.over)
        else:
            aligned = self.emit(form, value, self.pred, site=site)
        if form == "signs":
            self.emit("check:signs", value, site=site, check=True)
        if form in ("labels", "dense"):
            self.emit("check:classes", value, self.pred, site=site, check=True)
        return aligned if self.mask is None else self.emit("hide", aligned, self.mask)

    # -- views of the prediction

    def view(self, name: str) -> Argument:
        if name not in self.views:
            made = self.made(name)
            dropped = self.reading.get("background") is False
            self.views[name] = self.emit("foreground", made) if dropped else made
        return self.views[name]

    def made(self, name: str) -> Ref:
        match name:
            case "logits" if self.loss.activation:
                return self.logits
            case "log_probs" | "log_complement":
                return self.emit(name.removesuffix("_probs"), self.activated())
            case "p_true":
                return self.truth("true", self.activated())
            case "log_p_true" if self.over == "class":
                return self.truth("true", self.view("log_probs"))
            case "log_p_true":
                return self.emit(
                    "log_true_element", self.view("log_probs"), self.view("log_complement"), self.target
                )
            case _:
                return self.activated()

    def activated(self) -> Ref:
        name = self.activation.name
        return self.logits if name == "identity" else self.emit(f"activation:{name}", self.logits)

    def truth(self, what: str, view: Argument) -> Ref:
        return self.emit(f"{what}_{'class' if self.over == 'class' else 'element'}", view, self.target)

    # -- values

    skipped: Ref | None = None

    def evaluate(self) -> Ref:
        loss, reading = self.loss, self.reading
        arguments = [self.argument(name) for name in loss.parameters]
        options = dict(reading.options)
        if loss.has_total:
            options["batch"] = bool(reading.get("batch"))
            arguments.append(self.region_mask())
        values = self.emit(f"loss:{loss.name}", *arguments, site=self.site("pred"), **options)
        policy = reading.get("empty")
        if policy is not None and policy != "formula":
            present = self.emit(
                "present", self.view_target(), self.region_mask(), batch=bool(reading.get("batch"))
            )
            values = self.emit("empty", values, present, policy=policy)
            self.skipped = present if policy == "skip" else None
        if (pos := reading.get("pos_weight")) is not None and "pos_weight" not in loss.parameters:
            values = self.emit("pos_weighted", values, self.vector(pos, "pos_weight"), self.truth_weight())
        if reading.get("class_weight") is not None and "class_weight" not in loss.parameters:
            values = self.emit(
                "class_weighted", values, self.class_weight(), self.target, by=self.class_axis()
            )
        if reading.scale != 1 or reading.shift:
            values = self.emit("affine", values, scale=reading.scale, shift=reading.shift)
        return values

    def argument(self, name: str) -> Argument:
        if name == "total":
            return None
        if name == "class_weight":
            return None if self.reading.get("class_weight") is None else self.class_weight()
        if name == "pos_weight":
            pos = self.reading.get("pos_weight")
            return None if pos is None else self.vector(pos, "pos_weight")
        if name == "positive_truth":
            return self.truth_weight()
        if name in VIEWS:
            return self.view(name)
        return self.view_target() if name in TARGETS else self.others[name]

    def view_target(self) -> Ref:
        assert self.target is not None
        if self.reading.get("background") is False:
            return self.emit("foreground", self.target)
        return self.target

    def truth_weight(self) -> Ref:
        assert self.target is not None
        return self.emit("not_background", self.target, self.pred) if self.over == "class" else self.target

    def region_mask(self) -> Argument:
        if self.mask is None or self.reading.get("background") is not False:
            return self.mask
        return self.emit("foreground_mask", self.mask)

    def class_axis(self) -> str:
        """Whether values are told apart by class along an axis of theirs, or by the label of a place."""
        by_label = self.form() == "labels"
        return "label" if by_label else "axis"

    def class_weight(self) -> Ref:
        return self.vector(self.reading.get("class_weight"), "class_weight")

    def vector(self, value: Any, option: str) -> Ref:
        """Weights per class in the prediction's type: given, or from the batch."""
        site = self.site(option)
        if isinstance(value, str):
            return self.emit(f"{option}_{value}", self.view_target(), self.pred, self.region_mask())
        if isinstance(value, Input | Apply):
            given: Argument = self.out.tensor(value)
        elif isinstance(value, int | float):
            given = self.emit("constant", values=(float(value),))
        else:
            given = self.emit("constant", values=tuple(map(float, value)))
        dropped = 1 if self.reading.get("background") is False else 0
        return self.emit("per_class", given, self.pred, site=site, dropped=dropped)

    # -- one number

    def reduce(self, values: Ref) -> Ref:
        reading, frame = self.reading, self.frame
        weights: Argument = None
        for part, expression in (("weight", reading.get("weight")), ("factor", reading.factor)):
            if expression is None:
                continue
            laid = self.emit(
                "weigh", self.out.tensor(expression), self.pred, values,
                site=self.site(part), channel=self.channel, frame=frame,
            )  # fmt: skip
            weights = laid if weights is None else self.emit("math:*", weights, laid)
        counted: Argument = None
        if self.mask is not None and frame != "number":
            counted = self.emit(
                "counted", self.region_mask(), values,
                site=self.site("mask"), frame=frame, batch=bool(reading.get("batch")),
            )  # fmt: skip
        if self.skipped is not None:
            counted = self.skipped if counted is None else self.emit("both", counted, self.skipped)
        if weights is not None:
            values = self.emit("math:*", values, weights)
        if counted is not None:
            values = self.emit("hide", values, counted)
        if reading.reduction.name == "wmean" and "class_weight" in self.loss.parameters:
            if reading.get("class_weight") is not None:
                at = self.emit("weight_of_label", self.class_weight(), self.target, values)
                weights = at if weights is None else self.emit("product", weights, at)
        factor = reading.get("avg_factor")
        if factor is not None:
            total = self.emit("reduction:sum", values, weights, counted)
            if isinstance(factor, int | float):
                return self.emit("math:/", total, float(factor))
            return self.emit("math:/", total, self.out.number(factor))
        options = dict(reading.reduction.options)
        return self.emit(f"reduction:{reading.reduction.name}", values, weights, counted, **options)


def _frame(loss: Loss, over: str) -> str:
    """How a loss's values lie in its prediction: which axes they no longer have."""
    before, after = loss.axes[loss.views[0]], loss.result_axes
    if after == ("*event",):
        return "places" if over == "class" else "same"
    if after == ():
        return "number"
    if before == after:
        return "same" if loss.has_classes else "values"
    if before[-1] == "d" or before[-1].isdigit():
        return "rows"
    return "region" if after == ("b", "c") else "places"


def _holds_loss(expression: Expression) -> bool:
    return any(isinstance(part, Reading) for part in below(expression))


def _inputs(term: Term) -> list[Input]:
    parts = [p for e in (term.body, term.factor) if e is not None for p in below(e)]
    return [part for part in parts if isinstance(part, Input)]
