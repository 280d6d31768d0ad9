"""The steps of one use of a loss: align, hide, view, evaluate, weigh, reduce."""

from __future__ import annotations

from typing import Any

from losslang.lower.builder import Builder
from losslang.meaning import Apply, Choice, Constant, Expression, Input, Reading
from losslang.plan import Argument, Ref
from losslang.primitive import Activation, Loss
from losslang.targets import Site
from losslang.vocabulary import TARGETS, VIEWS


class Use:
    """One loss on its way into the plan."""

    def __init__(self, builder: Builder, loss: Loss, reading: Reading):
        self.out = builder
        self.loss = loss
        self.reading = reading
        self.emit = builder.emit
        choice = reading.activation or Choice("identity")
        activation = builder.registry.get(Activation, choice.name)
        assert activation is not None
        self.activation, self.choice = activation, choice
        self.over = activation.over
        self.views: dict[str, Ref] = {}
        self.mask: Ref | None = None
        self.target: Ref | None = None
        self.others: dict[str, Ref] = {}
        self.frame = _frame(loss, self.over)

    def site(self, part: str) -> Site:
        """Whom to blame for an operand or an option of this use."""
        return Site(self.reading.name, part, self.reading.span_of(part), self.out.source)

    def lower(self) -> Ref:
        self.align()
        values = self.evaluate()
        return self.reduce(values)

    # -- the tensors, in the form that the loss reads

    def align(self) -> None:
        """The prediction, its mask and its target, each in the form that the loss reads.

        The target comes first: what is wrong with its shape is said of the target, not of a mask.
        """
        reading, loss = self.reading, self.loss
        self.out.use_span = reading.span
        given = {name: self.out.tensor(operand) for name, operand in reading.operands}
        last = loss.axes[loss.views[0]][-1]
        size = int(last) if last.isdigit() else None
        self.pred = self.emit("real", given["pred"], site=self.site("pred"), last=size)
        if self.activation.name in ("softmax", "log_softmax"):
            self.emit("check:channels", self.pred, site=self.site("pred"), activation=self.activation.name)
        if loss.has_total and loss.has_classes:
            self.emit(
                "check:region",
                self.pred,
                site=self.site("pred"),
                batch=bool(reading.get("batch")),
                background=reading.get("background") is not False,
            )
        stated = reading.get("mask")
        self.mask = None if stated is None else self.laid_mask(self.out.tensor(stated), "mask")
        target, kept = given.get("target"), None
        index = reading.get("ignore_index")
        if isinstance(target, Ref) and index is not None and index != "none":
            kept = self.emit("kept", target, self.pred, index=index, form=self.form())
            target = self.emit("hide", target, kept)
        self.target = None if "target" not in given else self.aligned(self.form(), target, "target")
        self.others = {
            name: self.aligned("like", value, name)
            for name, value in given.items()
            if name not in ("pred", "target")
        }
        if kept is not None:
            laid = self.laid_mask(kept, "target")
            self.mask = laid if self.mask is None else self.emit("both", self.mask, laid)
        self.hide()

    def laid_mask(self, mask: Argument, part: str) -> Ref:
        return self.emit("mask", mask, self.pred, site=self.site(part), channel=self.channel)

    def hide(self) -> None:
        """Hides what is masked, in everything that the loss reads; then looks at the values once."""
        whole = self.mask
        if self.over == "class" and whole is not None:
            # A softmax reads every channel of a place: one of them alone cannot be hidden from it.
            whole = self.emit("places", whole)
        self.logits = self.pred if whole is None else self.emit("hide", self.pred, whole)
        temperature = dict(self.choice.options).get("temperature")
        if temperature is not None:
            self.logits = self.emit("cool", self.logits, temperature=temperature)
        self.target = None if self.target is None else self.hidden(self.target)
        self.others = {name: self.hidden(value) for name, value in self.others.items()}
        for name in self.loss.nonnegative:
            checked = self.target if name == "target" else self.others[name]
            self.emit("check:nonnegative", checked, site=self.site(name), check=True)
        if self.form() == "signs":
            self.emit("check:signs", self.target, self.mask, site=self.site("target"), check=True)
        if self.activation.name == "identity" and self.loss.wants == "probs":
            self.emit("check:probs", self.logits, site=self.site("pred"), check=True, over=self.guess())

    def hidden(self, value: Ref) -> Ref:
        return value if self.mask is None else self.emit("hide", value, self.mask)

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
        if form in ("labels", "dense"):
            self.emit("check:classes", value, self.pred, site=site, check=True)
        return aligned

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
        reading = self.reading
        # A weight is part of a weighted mean; a factor only multiplies, whatever the mean divides by.
        weights, counted = self.laid(reading.get("weight"), values), self.counted(values)
        for weight in (weights, self.laid(reading.factor, values)):
            values = values if weight is None else self.emit("math:*", values, weight)
        if counted is not None:
            values = self.emit("hide", values, counted)
        factor = reading.get("avg_factor")
        if factor is not None:
            total = self.emit("reduction:sum", values, weights, counted)
            number = float(factor) if isinstance(factor, int | float) else self.out.number(factor)
            return self.emit("math:/", total, number)
        name, options = reading.reduction.name, dict(reading.reduction.options)
        if name == "wmean" and reading.get("class_weight") is not None:
            of_class = self.emit(
                "weight_of_class", self.class_weight(), self.target, values, by=self.class_axis()
            )
            weights = self.emit("product", weights, of_class)
        return self.emit(f"reduction:{name}", values, weights, counted, **options)

    def laid(self, expression: Expression | None, values: Ref) -> Argument:
        """A weight over the values. Each factor of a product lies by its own rank."""
        match expression:
            case None:
                return None
            case Constant(value=value):
                return value
            case Apply(("*" | "/") as operator, (left, right)):
                return self.emit(f"math:{operator}", self.laid(left, values), self.laid(right, values))
            case _:
                site = Site(self.reading.name, str(expression), expression.span, self.out.source)
                weight = self.out.tensor(expression)
                channel, frame = self.channel, self.frame
                return self.emit("weigh", weight, self.pred, values, site=site, channel=channel, frame=frame)

    def counted(self, values: Ref) -> Ref | None:
        """Which values count, in their shape; None where all do."""
        batch = bool(self.reading.get("batch"))
        found = [self.skipped] if self.skipped is not None else []
        if self.mask is not None and self.frame != "number":
            site = self.site("mask")
            found.append(
                self.emit("counted", self.region_mask(), values, site=site, frame=self.frame, batch=batch)
            )
        return self.emit("both", *found) if len(found) == 2 else found[0] if found else None


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
