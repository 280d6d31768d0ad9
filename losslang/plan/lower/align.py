"""Emits the operands of one use of a loss in the form that the loss reads, masked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from losslang.meaning.frame import edge, frame, guess, lacking, other_form
from losslang.meaning.layout import is_of_images, is_of_rows, layout, root_of
from losslang.meaning.meaning import COMPUTED, Choice, Expression, Input, LossUse
from losslang.meaning.uses.activation import TEMPERATURE
from losslang.plan.lower.builder import Builder
from losslang.plan.lower.compared import check_compared
from losslang.plan.lower.dynamic import dynamic
from losslang.plan.lower.kept import channel_beside
from losslang.plan.lower.neighbours import (
    look_for_activated,
    look_for_axis,
    look_for_logits,
    look_for_unmasked,
)
from losslang.plan.plan import Argument, Ref
from losslang.primitives.primitive import Activation, Loss
from losslang.tensors.targets import Site
from losslang.vocabulary import LAYERS, TARGETS


class Aligned:
    """One use of a loss: its prediction, mask, target and other operands as steps."""

    def __init__(self, builder: Builder, loss: Loss, use: LossUse):
        self.out = builder
        self.loss = loss
        self.use = use
        self.emit = builder.emit
        choice = use.activation or Choice("identity")
        activation = builder.registry.get(Activation, choice.name)
        assert activation is not None
        self.activation, self.choice = activation, choice
        self.over = activation.over
        self.stated: Ref | None = None
        self.mask: Ref | None = None
        self.target: Ref | None = None
        self.others: dict[str, Ref] = {}
        self.layers: dict[str, Ref] = {}
        self.frame = frame(loss, self.over)
        self.edge = edge(use, loss)
        self.layout = layout(use, loss)
        self.kept = builder.kept(use.prediction)
        self.channel = channel_beside(self.layout, self.kept)
        listed = dict(use.spans)
        self.paths = tuple((name, str(operand)) for name, operand in use.operands if name not in listed)

    def site(self, part: str) -> Site:
        """Returns the term and the place in the text that an error about an operand or option names."""
        own = self.layout
        return Site(
            self.use.name,
            part,
            self.use.span_of(part),
            self.out.source,
            self.use.loss,
            own.written or "",
            own.moved,
            is_of_rows(self.loss),
            self.paths,
            any(
                isinstance(operand, Input) and operand.soft and operand.steps
                for _, operand in self.use.operands
            ),
            frame="total" if self.frame == "region" and self.use.get("batch") else self.frame,
        )

    def align(self) -> None:
        """Emits the steps that bring every operand to the form that the loss reads, and mask it.

        The target comes before its mask: a wrong shape is then refused as the target's, not as the mask's.
        """
        self.out.use_span = self.use.span
        given = self.operands()
        self.align_prediction(given["pred"])
        check_compared(self, given.get("target"))
        look_for_axis(self)
        look_for_activated(self)
        self.check_listed()
        stated = self.use.get("mask")
        if stated is not None:
            self.mask = self.stated = self.emit("mask", self.laid_over(stated, "mask"), self.raw)
            weighs = self.frame not in ("region", "samples", "number") and self.use.get("weight") is None
            value = self.out.tensor(stated, self.layout.before)
            self.emit("check:booleans", value, site=self.site("mask"), check=True, weighs=weighs)
        target, not_ignored = self.without_ignored(given.get("target"))
        self.align_others(given, target)
        if not_ignored is not None:
            self.mask_ignored(not_ignored)
        self.mask_inputs()

    def align_prediction(self, raw: Argument) -> None:
        """Emits the prediction as floats, and the checks of its shape."""
        use, loss = self.use, self.loss
        axes, site = loss.axes[loss.views[0]], self.site("pred")
        self.raw = raw
        # Hidden states stay in half precision: the product with the head is what takes the time.
        operation = "hidden" if loss.wants == "hidden" else "float_prediction"
        self.pred = self.emit(operation, raw, site=site, last=int(axes[-1]) if axes[-1].isdigit() else None)
        if self.activation.name in ("softmax", "log_softmax"):
            self.emit("check:channels", self.pred, site=site, activation=self.activation.name, **self.along())
        if axes[0] == "b" and not loss.has_classes and not loss.takes_net and axes[-1] != "*items":
            self.emit("check:rank", self.pred, site=site, axes=" ".join(axes))
        if self.layout.written is None and (is_of_rows(loss) or is_of_images(loss)):
            self.emit("check:layout", self.pred, site=site, of_rows=is_of_rows(loss))
        if loss.is_region:
            batch, background = bool(use.get("batch")), use.get("background") is not False
            self.emit("check:region", self.pred, site=site, batch=batch, background=background)
            if self.classes is not None:
                self.emit("check:chosen", self.pred, site=self.site("classes"), classes=self.classes)

    @property
    def classes(self) -> tuple[int, ...] | None:
        """The channels that `classes=` lists, of every region loss or of the loss itself; None if it does not."""
        listed = self.use.get("classes") or dict(self.use.options).get("classes")
        return cast("tuple[int, ...]", listed) if isinstance(listed, tuple) else None

    def check_listed(self) -> None:
        """Emits the check of predictions of classes without space, and of lists: they need two axes."""
        axes = self.loss.axes[self.loss.views[0]]
        is_listed = axes[0] == "b" and axes[-1].startswith("*")
        if is_listed and not self.loss.is_region and not is_of_images(self.loss):
            self.emit("check:rank", self.pred, site=self.site("pred"), axes=" ".join(axes), least=2)

    def without_ignored(self, target: Argument) -> tuple[Argument, Ref | None]:
        """Emits the target with class 0 for ignored labels.

        Also returns where no label is ignored, if any may be.
        """
        index = self.use.get("ignore_index")
        if not isinstance(target, Ref) or index is None or index == "none":
            return target, None
        least = -1 if self.form() == "signs" else 0
        for label in (index,) if isinstance(index, int) else index:
            if label >= least:
                site = self.site("ignore_index")
                self.emit("check:ignored", target, self.raw, site=site, index=label, form=self.form())
        look_for_unmasked(self, target, index)
        not_ignored = self.emit("not_ignored", target, self.raw, index=index, form=self.form())
        return self.emit("zero_masked", target, not_ignored), not_ignored

    def align_others(self, given: Mapping[str, Argument], target: Argument) -> None:
        """Emits the last layer or the network, the target, and the operands beside it."""
        self.layers = {
            name: self.emit(name, value, self.pred, site=self.site(name))
            for name, value in given.items()
            if name in LAYERS
        }
        self.target = None if "target" not in given else self.aligned(self.form(), target, "target")
        self.others = {
            name: self.aligned(other_form(self.loss, name), self.laid_operand(name, value), name)
            for name, value in given.items()
            if name not in ("pred", "target") and name not in LAYERS
        }

    def laid_operand(self, name: str, value: Argument) -> Argument:
        """Emits an operand beside prediction and target in the rank of the prediction, as a weight lies.

        One with axes of its own, such as a history, keeps them.
        """
        if not isinstance(value, Ref) or other_form(self.loss, name) == "free":
            return value
        root = root_of(dict(self.use.operands)[name])
        is_moved = self.loss.axes[name] == self.loss.axes[self.loss.views[0]]
        return self.emit(
            "broadcast_to_pred",
            value,
            self.raw,
            site=self.site(name),
            channel=self.channel,
            vector="channels" if root == "const" else "samples",
            # `operands` has moved the channels of what has the axes of the prediction.
            moved=None if is_moved else self.layout.moved,
        )

    def mask_ignored(self, not_ignored: Ref) -> None:
        """Adds the ignored labels to the mask of the prediction."""
        site = self.site("target")
        laid = self.emit(
            "broadcast_to_pred", not_ignored, self.raw, site=site, channel=self.channel, vector="samples"
        )
        shown = self.emit("mask", laid, self.raw)
        self.mask = shown if self.mask is None else self.emit("mask_and", self.mask, shown)

    def along(self) -> dict[str, Any]:
        """Returns the option that names the channel axis, where it is not axis 1."""
        return {} if self.layout.channel == 1 else {"channel": self.layout.channel}

    def operands(self) -> dict[str, Argument]:
        """Emits the operands, with the channel axis where the loss expects it."""
        given: dict[str, Argument] = {}
        for name, operand in self.use.operands:
            given[name] = self.out.tensor(operand, self.layout.before)
            self.out.prediction = given["pred"]
        for name, operand in self.use.operands:
            if name == "target" or self.loss.axes.get(name) == self.loss.axes[self.loss.views[0]]:
                given[name] = self.fitted(operand, given[name], given["pred"])
        if self.layout.moved is None:
            return given
        source, target = self.layout.moved
        pred, own = given["pred"], self.loss.axes[self.loss.views[0]]
        for name in given:
            # An operand with axes of its own has no channel axis to move.
            axes = self.loss.axes.get(name, ())
            if name == "pred" or name in TARGETS or name == "target" or axes[-1:] == own[-1:]:
                given[name] = self.emit("moved", given[name], pred, source=source, target=target)
        return given

    def fitted(self, expression: Expression, value: Argument, pred: Argument) -> Argument:
        """Emits an operand beside a prediction of which either has axes that a function keeps as ones."""
        own = self.out.kept(expression)
        if value is pred or (not own and not self.kept):
            return value
        return self.emit("fitted", value, pred, kept=self.kept, own=own)

    def laid_over(self, expression: Expression, part: str) -> Ref:
        """Emits a mask or a weight in the rank of the prediction."""
        value = self.fitted(expression, self.out.tensor(expression, self.layout.before), self.raw)
        return self.emit(
            "broadcast_to_pred",
            value,
            self.raw,
            site=self.site(part),
            channel=self.channel,
            vector="channels" if root_of(expression) == "const" else "samples",
            moved=self.layout.moved,
        )

    def mask_inputs(self) -> None:
        """Zeroes masked elements in everything that the loss reads, then emits the checks of values."""
        whole = self.mask
        if self.over == "class" and self.activation.takes == "logits" and whole is not None:
            # A softmax reads all channels of a place, so a place is masked for it with all channels or none.
            whole = self.emit("any_channel_mask", whole, **self.along())
        self.logits = self.pred if whole is None else self.emit("zero_masked", self.pred, whole)
        temperature = dict(self.choice.options).get("temperature")
        if isinstance(temperature, COMPUTED):
            number = dynamic(self, "temperature", temperature, TEMPERATURE["temperature"])
            self.logits = self.emit("scale_by_temperature", self.logits, number)
        elif temperature is not None:
            self.logits = self.emit("scale_by_temperature", self.logits, temperature=temperature)
        # Ignored labels are masked already: `without_ignored` replaced them by class 0.
        if self.target is not None and self.stated is not None:
            self.target = self.emit("zero_masked", self.target, self.stated, **lacking(self.form()))
        self.others = {name: self.hidden(name, value) for name, value in self.others.items()}
        for name in self.loss.nonnegative:
            checked = self.target if name == "target" else self.others[name]
            self.emit("check:nonnegative", checked, site=self.site(name), check=True)
        if self.form() == "signs":
            self.emit("check:signs", self.target, self.mask, site=self.site("target"), check=True)
        for value, name in ((self.pred, "pred"), (self.target, "target")):
            if self.loss.wants == "boxes" and value is not None:
                form = dict(self.use.options).get("format", "xyxy")
                self.emit("check:boxes", value, self.mask, site=self.site(name), check=True, format=form)
        if self.activation.name == "identity" and self.loss.wants == "probs":
            how: dict[str, Any] = {"either": True} if self.loss.is_region else {}
            over, site = guess(self.loss), self.site("pred")
            self.emit("check:probs", self.logits, site=site, check=True, over=over, **how)
        look_for_logits(self)

    def hidden(self, name: str, value: Ref) -> Ref:
        """Emits another operand with masked elements zeroed; one with axes of its own by whole samples."""
        if self.mask is None:
            return value
        form = other_form(self.loss, name)
        if form == "free":
            return self.emit("zero_masked_samples", value, self.mask)
        return self.emit("zero_masked", value, self.mask, **lacking(form))

    def form(self) -> str:
        """Returns the form in which the loss reads its target: the operation that brings it there."""
        names = set(self.loss.parameters)
        if "labels" in names:
            return "labels"
        if names & {"positive_truth", "p_true"}:
            return "labels" if self.over == "class" else "dense"
        if "indices" in names:
            return "indices"
        if "signs" in names:
            return "signs"
        if "position" in names:
            return "position"
        if names & {"target_probs", "target_logits", "distance"}:
            return "float_target"
        return "dense" if self.loss.has_classes else "target_like_pred"

    def aligned(self, form: str, value: Argument, operand: str) -> Ref:
        """Emits an operand in a form, and the checks of its values."""
        site = self.site(operand)
        if self.mask is not None and form != "free":
            value = self.emit("zero_masked_raw", value, self.mask, **lacking(form))
        quantiles = dict(self.use.options).get(self.loss.extra_axis)
        if form == "target_like_pred" and isinstance(quantiles, tuple):
            aligned = self.emit("last_axis", value, self.pred, site=site, size=len(quantiles))  # pyright: ignore[reportUnknownArgumentType]
        elif form == "dense":
            aligned = self.emit("dense", value, self.pred, site=site, over=self.over)
        elif form == "operand_like_pred":
            aligned = self.emit(form, value, self.pred, site=site, of_rows=is_of_rows(self.loss))
        elif form == "free":
            axes = " ".join(self.loss.axes[operand])
            aligned = self.emit("free", value, self.pred, site=site, axes=axes)
        else:
            aligned = self.emit(form, value, self.pred, site=site)
        if form == "position":
            self.emit("check:position", value, self.pred, site=site, check=True)
        if form.startswith("sign_") or form == "sign":
            self.emit("check:signs", value, self.mask, site=site, check=True)
        if form == "indices" and "head" in self.layers:
            self.emit("check:indices", value, self.layers["head"], site=self.site("target"), check=True)
        if form in ("labels", "dense", "signs") or "target_probs" in self.loss.parameters:
            how: dict[str, Any] = {"over": "class"} if form == "dense" and self.over == "class" else {}
            how |= {"told": True} if self.layout.written else {}
            self.emit("check:classes", value, self.pred, site=site, check=True, form=form, **how)
        return aligned
