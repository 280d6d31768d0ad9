"""Emits the looks at what the terms of a program say together: ignored labels, and what the classes are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from losslang.meaning.layout import tensors_of
from losslang.meaning.meaning import Constant, LossUse, loss_of
from losslang.plan.plan import Argument
from losslang.syntax.respelling import routed, with_option
from losslang.tensors.targets import Site

if TYPE_CHECKING:
    from losslang.plan.lower.align import Aligned


def look_for_unmasked(own: Aligned, target: Argument, index: int | tuple[int, ...]) -> None:
    """Emits the looks for ignored labels at places that a term beside this use counts."""
    labels = (index,) if isinstance(index, int) else index
    for use in _beside(own):
        if _counts_everything(use, own):
            site = Site(use.name, "pred", use.span, own.out.source, use.loss)
            fix = _with(own, use, "mask=batch.valid")
            own.emit(
                "check:unmasked",
                target,
                own.raw,
                site=site,
                check=True,
                labels=labels,
                ignoring=own.use.name,
                fix=fix,
            )


def look_for_axis(own: Aligned) -> None:
    """Emits the look at the rank of two logits of which no label tells the axis of their classes."""
    if "target_logits" not in own.loss.parameters or own.layout.written is not None:
        return
    if any(loss_of(use, own.out.registry).reads_classes for use in _beside(own)):
        return
    first, last = (_with(own, own.use, f"channels={where}") for where in ("first", "last"))
    own.emit("check:axis", own.raw, site=own.site("pred"), check=True, first=first, last=last)


def look_for_activated(own: Aligned) -> None:
    """Emits the look at a prediction whose softmax the first use on it takes: it may be one already."""
    name = own.activation.name
    if name not in SOFTMAXES or any(_is_before(use, own) for use in _beside(own)):
        return
    fix = "let the network end in its logits"
    if own.loss.activation is None or own.loss.wants != "logits":
        fix += f", or say that these are probabilities: `{own.loss.name}(identity)`"
    site = own.site("pred")
    own.emit("check:activated", own.pred, site=site, check=True, activation=name, fix=fix, **own.along())


def look_for_logits(own: Aligned) -> None:
    """Emits the look at a prediction that is read as log-probabilities: it may be logits."""
    given, name = own.loss.given == "log_probs", own.activation.name
    if name == "exp" or (name == "identity" and own.loss.wants == "log_probs"):
        meant = "log_softmax" if given else "softmax"
        own.emit("check:log_probs", own.logits, site=own.site("pred"), check=True, meant=meant)


SOFTMAXES = ("softmax", "log_softmax")


def _is_before(use: LossUse, own: Aligned) -> bool:
    """True for a use with a softmax that the program has before another."""
    is_softmax = use.activation is not None and use.activation.name in SOFTMAXES
    return is_softmax and own.out.program.index(use) < own.out.program.index(own.use)


def _with(own: Aligned, use: LossUse, option: str) -> str:
    """The text of a use with an option more."""
    text = own.out.source.text
    return routed(text, use.span, with_option(text, use.span, option))


def _beside(own: Aligned) -> Iterator[LossUse]:
    """The other uses on the tensors that a use predicts."""
    tensors = set(tensors_of(own.use.prediction))
    for use in own.out.program:
        if use is not own.use and tensors & set(tensors_of(use.prediction)):
            yield use


def _counts_everything(use: LossUse, own: Aligned) -> bool:
    """True for a use that compares with a tensor, knows no labels, and has neither a mask nor a weight."""
    loss = loss_of(use, own.out.registry)
    target = dict(use.operands).get("target")
    if loss.reads_classes or target is None or isinstance(target, Constant):
        return False
    return use.get("mask") is None and use.get("weight") is None and use.factor is None
