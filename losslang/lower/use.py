"""The steps of one use of a loss: align, hide, view, evaluate, weigh, reduce."""

from __future__ import annotations

from typing import Any

from losslang.lower.builder import Builder
from losslang.meaning import Apply, Choice, Input, Reading
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
        reading, loss = self.reading, self.loss
        given = {name: self.out.tensor(operand) for name, operand in reading.operands}
        last = loss.axes[loss.views[0]][-1]
        pred = self.emit(
            "real", given["pred"], site=self.site("pred"), last=int(last) if last.isdigit() else None
        )
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
        reading = self.reading
        weights, counted = self.weights(values), self.counted(values)
        if weights is not None:
            values = self.emit("math:*", values, weights)
        if counted is not None:
            values = self.emit("hide", values, counted)
        factor = reading.get("avg_factor")
        if factor is not None:
            total = self.emit("reduction:sum", values, weights, counted)
            number = float(factor) if isinstance(factor, int | float) else self.out.number(factor)
            return self.emit("math:/", total, number)
        name, options = reading.reduction.name, dict(reading.reduction.options)
        if (
            name == "wmean"
            and "class_weight" in self.loss.parameters
            and reading.get("class_weight") is not None
        ):
            # The loss has weighed its classes itself; the mean still has to know by how much.
            at = self.emit("weight_of_label", self.class_weight(), self.target, values)
            weights = self.emit("product", weights, at)
        return self.emit(f"reduction:{name}", values, weights, counted, **options)

    def weights(self, values: Ref) -> Ref | None:
        """The product of all weights, over the values."""
        said = {"weight": self.reading.get("weight"), "factor": self.reading.factor}
        laid = [
            self.emit(
                "weigh",
                self.out.tensor(expression),
                self.pred,
                values,
                site=self.site(part),
                channel=self.channel,
                frame=self.frame,
            )
            for part, expression in said.items()
            if expression is not None
        ]
        return self.emit("math:*", *laid) if len(laid) == 2 else laid[0] if laid else None

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
