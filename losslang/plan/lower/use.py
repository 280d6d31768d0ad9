"""Lowers one use of a loss: views of the prediction, values, weights, reduction to one number."""

from __future__ import annotations

from typing import Any

from losslang.meaning.meaning import COMPUTED, Apply, Expression, Input, LossUse, is_static
from losslang.plan.lower.align import Aligned
from losslang.plan.lower.builder import Builder
from losslang.plan.lower.dynamic import options_of
from losslang.plan.lower.memories import memory_name, memory_of
from losslang.plan.plan import Argument, Ref
from losslang.primitives.primitive import Loss, Reduction
from losslang.syntax import tree
from losslang.vocabulary import TARGETS, VIEWS


class Use(Aligned):
    """Lowers one use of a loss."""

    def __init__(self, builder: Builder, loss: Loss, use: LossUse):
        super().__init__(builder, loss, use)
        self.views: dict[str, Ref] = {}
        self.skipped: Ref | None = None
        self.reduced: tuple[Ref, Argument, Ref | None]
        """What the reduction reads: values with their weights, the weights, and which of them count."""

    def lower(self) -> Ref:
        if self.loss.wants == "parameters":
            return self.regularize()
        self.align()
        values = self.evaluate()
        return self.reduce(values)

    @property
    def drops_background(self) -> bool:
        """Whether channel 0 is dropped: `background=false`, or `alone`, which keeps a single channel."""
        return self.use.get("background") in (False, "alone")

    def counted_channels(self, value: Ref) -> Ref:
        """Emits those channels of a view or a target that the loss counts."""
        if self.classes is not None:
            return self.emit("chosen", value, classes=self.classes)
        return self.emit("foreground", value) if self.drops_background else value

    def mask_of_counted(self, mask: Any) -> Any:
        """Emits those channels of a mask or a weight that the loss counts; a number stays."""
        if self.classes is not None:
            return self.emit("chosen_mask", mask, classes=self.classes)
        return self.emit("foreground_mask", mask) if self.drops_background else mask

    # -- views of the prediction

    def view(self, name: str) -> Argument:
        """Emits a view of the prediction, once, of the channels that count."""
        if name not in self.views:
            self.views[name] = self.counted_channels(self.made(name))
        return self.views[name]

    def made(self, name: str) -> Ref:
        """Emits a view with all its channels."""
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
        """Emits the prediction after its activation."""
        name = self.activation.name
        if name == "identity":
            return self.logits
        channel = self.layout.channel
        if self.over != "class" or channel == 1:
            return self.activate(self.logits)
        # An activation over classes runs along axis 1: the channel axis is moved there and back.
        second = self.emit("channels_second", self.logits, channel=channel)
        found = self.activate(second)
        return self.emit("channels_back", found, channel=channel)

    def activate(self, value: Ref) -> Ref:
        """Emits the activation of a value; its temperature has divided the logits already."""
        chosen = tuple((n, v) for n, v in self.choice.options if n != "temperature")
        options, dynamic, named = options_of(self, chosen, self.activation.option_types, 1)
        name = f"activation:{self.activation.name}"
        return self.emit(name, value, *dynamic, check=False, named=named, **options)

    def truth(self, what: str, view: Argument) -> Ref:
        """Emits the entries of a view for what is true: of the true class, or of yes or no in each element."""
        return self.emit(f"{what}_{'class' if self.over == 'class' else 'element'}", view, self.target)

    # -- values

    def evaluate(self) -> Ref:
        """Emits the values of the loss, with weights per class and the policy for absent classes applied."""
        loss, use = self.loss, self.use
        arguments: list[Argument] = [self.argument(name) for name in loss.parameters]
        if loss.is_flat:
            batch = bool(use.get("batch"))
            arguments = [
                None if a is None else self.emit("flat", a, self.pred, batch=batch) for a in arguments
            ]
        options, dynamic, named = options_of(self, use.options, loss.option_types, len(arguments))
        arguments += dynamic
        if loss.has_total:
            options["batch"] = bool(use.get("batch"))
            arguments.append(self.region_mask())
        values = self.emit(f"loss:{loss.name}", *arguments, site=self.site("pred"), named=named, **options)
        if loss.skips:
            both, values = values, self.emit("values_of", values)
            self.skipped = self.emit("counted_of", both)
        policy = use.get("empty")
        if policy is not None and policy != "formula":
            present = self.emit(
                "present", self.view_target(), self.region_mask(), batch=bool(use.get("batch"))
            )
            values = self.emit("empty", values, present, policy=policy)
            if policy == "skip":
                self.skipped = (
                    present if self.skipped is None else self.emit("mask_and", self.skipped, present)
                )
        if (pos := use.get("pos_weight")) is not None and "pos_weight" not in loss.parameters:
            values = self.emit("pos_weighted", values, self.vector(pos, "pos_weight"), self.truth_weight())
        if use.get("class_weight") is not None and "class_weight" not in loss.parameters:
            values = self.emit(
                "class_weighted", values, self.class_weight(), self.target, by=self.class_axis()
            )
        if use.scale != 1 or use.shift:
            values = self.emit("affine", values, scale=use.scale, shift=use.shift)
        return values

    def argument(self, name: str) -> Argument:
        """Emits the argument for one parameter of the function of the loss."""
        if name == "total":
            return None
        if name == "class_weight":
            return None if self.use.get("class_weight") is None else self.class_weight()
        if name == "pos_weight":
            pos = self.use.get("pos_weight")
            return None if pos is None else self.vector(pos, "pos_weight")
        if name == "positive_truth":
            return self.truth_weight()
        if name == "counted":
            return None if self.mask is None else self.counting()
        if name == "mask":
            return self.region_mask()
        if name == "memory":
            return self.memory()
        if name in VIEWS:
            return self.view(name)
        if name in TARGETS:
            return self.normalized(name, self.view_target())
        return self.layers[name] if name in self.layers else self.normalized(name, self.others[name])

    def normalized(self, name: str, value: Ref) -> Ref:
        """Emits an operand beside the prediction; where rows are activated, those of every embedding are."""
        if self.over != "row" or self.loss.axes[name] != self.loss.axes[self.loss.views[0]]:
            return value
        return self.activate(value)

    def counting(self) -> Ref:
        """Emits which rows or samples have an unmasked element, before their values are computed."""
        return self.emit("counting", self.mask, self.pred, frame=self.frame)

    def memory(self) -> Ref:
        """Emits the buffer of the module that this use keeps from call to call."""
        own = [s for s in self.out.steps if memory_of(s) is not None and self.out.term_name in s.owners]
        name = memory_name(self.out.term_name, len(own) + 1)
        path = Input("module", (tree.Key("memory"), tree.Key(name)))
        return self.emit("input", site=self.site("pred"), path=path)

    def regularize(self) -> Ref:
        """Emits a loss of the model's parameters, which reads no tensor of the call."""
        options, dynamic, named = options_of(self, self.use.options, self.loss.option_types, 1)
        given = self.out.tensor(self.use.prediction)
        matched = self.emit("matching", given, site=self.site("match"), match=options.pop("match"))
        return self.emit(f"loss:{self.loss.name}", matched, *dynamic, named=named, **options)

    def view_target(self) -> Ref:
        assert self.target is not None
        return self.counted_channels(self.target)

    def counted_target(self) -> Ref:
        """Emits the target as classes are counted in it: 0 or 1 for each element, or indices."""
        target = self.view_target()
        return self.emit("positives", target) if self.form() == "signs" else target

    def truth_weight(self) -> Ref:
        """Emits how positive each element is: the target, or 1 where a label is not class 0."""
        assert self.target is not None
        by_label = self.form() == "labels"
        return self.emit("not_background", self.target, self.pred) if by_label else self.target

    def region_mask(self) -> Argument:
        """Emits the mask of the channels that the loss reads; None where nothing is masked."""
        return None if self.mask is None else self.mask_of_counted(self.mask)

    def class_axis(self) -> str:
        """Returns where the class of a value comes from: "axis" of the values, or "label" of the place."""
        by_label = self.form() == "labels"
        return "label" if by_label else "axis"

    def class_weight(self) -> Ref:
        return self.vector(self.use.get("class_weight"), "class_weight")

    def vector(self, value: Any, option: str) -> Ref:
        """Emits weights per class in the prediction's type, written or computed from the batch."""
        site = self.site(option)
        if isinstance(value, str):
            return self.emit(
                f"{option}_{value}", self.counted_target(), self.pred, self.region_mask(), site=site
            )
        if isinstance(value, COMPUTED):
            given: Argument = self.out.tensor(value)
        elif isinstance(value, (int, float)):
            given = self.emit("constant", values=(float(value),))
        else:
            given = self.emit("constant", values=tuple(map(float, value)))
        dropped, number = (1 if self.drops_background else 0), len(self.classes or ())
        moved = self.layout.moved
        weights = self.emit(
            "per_class", given, self.raw, site=site, dropped=dropped, moved=moved, number=number or None
        )
        if isinstance(value, COMPUTED):
            self.emit("check:bounds", weights, None, site=site, check=True)
        return weights

    # -- one number

    def natural(self) -> tuple[Ref, Argument, Ref | None]:
        """Emits the values before they are reduced, with their weights in them, the weights, and what counts."""
        self.align()
        return self.weighted(self.evaluate())

    def weighted(self, values: Ref) -> tuple[Ref, Argument, Ref | None]:
        """Emits the weighted and masked values, the weights, and which of them count."""
        use = self.use
        # A weight is also in the denominator of a weighted mean; a factor is not.
        weights, counted = self.laid(use.get("weight"), values), self.value_mask(values)
        for weight in (weights, self.laid(use.factor, values)):
            values = values if weight is None else self.emit("math:*", values, weight)
        if counted is not None:
            values = self.emit("zero_masked", values, counted)
        self.reduced = values, weights, counted
        return self.reduced

    def reduce(self, values: Ref) -> Ref:
        """Emits the weighted and masked values, reduced to one number."""
        use = self.use
        values, weights, counted = self.weighted(values)
        factor = use.get("avg_factor")
        if factor is not None:
            total = self.emit("reduction:sum", values, weights, counted)
            number = self.factor(factor)
            if isinstance(number, float):
                return self.emit("math:/", total, number)
            return self.emit("over_factor", total, number, site=self.site("avg_factor"))
        if not self.loss.result_axes and counted is None:
            return values
        name = use.reduction.name
        is_weighted = name in ("wmean", "wmean_all")
        if is_weighted and isinstance(weights, Ref):
            self.emit("check:bounds", weights, counted, site=self.site("weight"), check=True)
        if is_weighted and use.get("class_weight") is not None:
            of_class = self.emit(
                "weight_of_class", self.class_weight(), self.target, values, by=self.class_axis()
            )
            weights = of_class if weights is None else self.emit("product", weights, of_class)
            self.reduced = values, weights, counted
        chosen = self.out.registry.get(Reduction, name)
        assert chosen is not None
        read = [values, weights, counted, *([self.truth_weight()] if chosen.reads_truth else [])]
        options, dynamic, named = options_of(self, use.reduction.options, chosen.option_types, len(read))
        return self.emit(f"reduction:{name}", *read, *dynamic, named=named, **options)

    def factor(self, value: Any) -> Argument:
        """Emits an `avg_factor`, and the check of its bounds."""
        if isinstance(value, (int, float)):
            return float(value)
        number = self.out.number(value, "avg_factor")
        self.emit("check:bounds", number, None, site=self.site("avg_factor"), check=True)
        return number

    def laid(self, expression: Expression | None, values: Ref) -> Argument:
        """Emits a weight in the shape of the values.

        Each factor of a product is broadcast by its own rank.
        """
        match expression:
            case None:
                return None
            case _ if is_static(expression):
                return self.out.tensor(expression)
            case Apply(("+" | "-" | "*" | "/" | "neg") as operator, parts):
                return self.emit(f"math:{operator}", *(self.laid(part, values) for part in parts))
            case _:
                laid = self.mask_of_counted(self.laid_over(expression, str(expression)))
                site = self.site(str(expression))
                return self.emit("weigh", laid, values, site=site, frame=self.frame, **self.edge)

    def value_mask(self, values: Ref) -> Ref | None:
        """Emits which values count, in their shape; None where all do."""
        batch = bool(self.use.get("batch"))
        found = [self.skipped] if self.skipped is not None else []
        if self.mask is not None and self.frame != "number":
            site = self.site("mask")
            how: dict[str, Any] = {"frame": self.frame, "batch": batch, **self.edge}
            found.append(self.emit("value_mask", self.region_mask(), values, site=site, **how))
        return self.emit("mask_and", *found) if len(found) == 2 else found[0] if found else None
