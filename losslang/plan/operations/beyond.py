"""Answers to a target that lies beyond 0 and 1: swapped with the prediction, logits, a scale, or a label."""

from __future__ import annotations

from losslang.diagnostics.mistakes import labels
from losslang.diagnostics.source import Source, Span
from losslang.syntax import tree
from losslang.syntax.formatter import spell
from losslang.syntax.parser import parse
from losslang.syntax.respelling import routed
from losslang.tensors.lazy import torch
from losslang.tensors.targets import Site
from losslang.vocabulary import Tensor

SCALED = "scale it to 0 and 1, as `target/255`"


def swapped(pred: Tensor) -> str:
    """Returns the question whether two tensors are swapped: a prediction of labels alone; '' for any other."""
    given = pred.detach()
    if not given.numel() or given.is_meta:
        return ""
    for low in (0, -1):
        if bool(((given == low) | (given == 1)).all()):
            return f"the prediction holds {low} and 1 alone: are prediction and target swapped?"
    return ""


def of_logits(target: Tensor, site: Site, by_class: bool) -> str:
    """Returns the repair of a target that holds logits, where probabilities are read; '' for any other."""
    given = target.detach()
    if (
        not given.dtype.is_floating_point
        or not bool((given < 0).any() & given.isfinite().all())
        or torch.equal(given, given.round())
    ):
        return ""
    axis = -1 if site.written == "last" else 1
    made = f"softmax({axis})" if by_class else "sigmoid()"
    activated = f"hand over their probabilities, `{site.operand}.{made}`"
    distilled = _distilled(site) if site.loss == "kl" else ""
    beside = f"`{distilled}` is the divergence of two logits; or " if distilled else ""
    return f"these look like logits: {beside}{activated}"


def of_shares(low: float) -> str:
    """Returns the repair of shares of classes that hold a label of what is unknown; '' for any others.

    A label to ignore is one of class indices.
    """
    return "leave out what is unknown: `mask=batch.valid`" if low < 0 and float(low).is_integer() else ""


def of_numbers(found: float, low: float, site: Site) -> str:
    """Returns the repair of a target of numbers by one that is beyond 0 and 1."""
    if found - found != 0:
        return "find where it comes from, or leave it out: `mask=batch.valid`"
    if not found.is_integer():
        return SCALED
    label = f"a label that marks what is unknown is left out: {labels.ignoring(site.term, int(found))}"
    return label if low < 0 else f"{SCALED}; {label}"


def _distilled(site: Site) -> str:
    """Returns the use of `kl` as one of `kd`, with its tensors and its mask; '' if it is no call of its own."""
    call = _use(site.source, site.span)
    if call is None:
        return ""
    kept = tuple(option for option in call.options if option.name != "reduction")
    temperature = tree.Option(name="temperature", value=tree.Number(value=1.0))
    made = call.model_copy(update={"name": "kd", "arguments": (), "options": (*kept, temperature)})
    return routed(site.source.text, call.span, spell(made))


def _use(source: Source, span: Span) -> tree.Call | None:
    """Returns the call that stands at a span, or that has an option whose value does."""
    calls = [node for node in tree.walk(parse(source)) if isinstance(node, tree.Call)]
    by_option = [call for call in calls if any(option.value.span == span for option in call.options)]
    return next(iter([*by_option, *(call for call in calls if call.span == span)]), None)
