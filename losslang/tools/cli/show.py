"""`losslang show NAME`: prints the page of a name, one for every kind that has it."""

from __future__ import annotations

import math
import textwrap
from argparse import Namespace
from collections.abc import Iterator
from typing import Any

from losslang.diagnostics.elsewhere import NAMES
from losslang.diagnostics.mistakes import page
from losslang.diagnostics.mistakes.names import unknown_name
from losslang.diagnostics.source import Span
from losslang.meaning.meaning import show
from losslang.meaning.options import wording
from losslang.meaning.uses.activation import TEMPERATURE
from losslang.meaning.uses.preset import listed
from losslang.meaning.uses.universal import TENSORS
from losslang.primitives.combinators import WRT, Combinator
from losslang.primitives.libraries import LIBRARIES
from losslang.primitives.primitive import Activation, Loss, Primitive, Reduction
from losslang.primitives.schedules import Schedule
from losslang.registry import Registry, current_registry
from losslang.tools.cli.listing import KINDS, WIDTH
from losslang.tools.cli.outcome import Outcome, columns
from losslang.vocabulary import GIVEN, IN_WORDS, LAYERS, TARGETS, UNIVERSAL_TYPES, VIEWS

AXES = {"b": "sample", "c": "class", "*space": "place"}
ANY_SHAPE = {"*shape", "*event", "*b"}
ROOTS = {
    "pred": "the first argument of the call: what the model returns",
    "target": "the second argument of the call: what it should have returned",
    "batch": "the keyword arguments of the call: `batch.mask` is `loss(pred, target, mask=...)`",
    "const": "what `compile(text, const={...})` is given: tensors, numbers or modules",
    "step": "the clock that counts steps of the optimizer: `loss.tick()` after each, or `loss.set_clock(step=...)`",
    "epoch": "the clock that counts epochs: `loss.set_clock(epoch=...)` at the start of each",
    "metric": "`metric(x)` logs x: it adds nothing to the total and has no gradient",
}
UNIVERSALLY = {
    "reduction": "how the values of a loss become one number: `ce(reduction=sum)`, `ce(reduction=topk(frac=0.2))`",
    "mask": "which values count, booleans or 0 and 1: `l1(mask=batch.valid)`; the others change neither value nor gradient; a mask of what does not count is turned over, `l1(mask=1 - batch.invalid)`; fractions are a `weight`, and refused here (E552)",
    "ignore_index": "the class index that does not count, or a list of them: `ce(ignore_index=255)`; else the one that another term wrote on the same target; else -100 for ce, nll and linear_ce, none elsewhere",
    "weight": "a weight for each value, read from the call: `l1(weight=batch.w)`; the mean still divides by how many values count, `reduction=wmean` by the sum of the weights. A number that weighs the whole term stands before it: `0.5*l1`; weights of classes are `class_weight`",
    "class_weight": "a weight for every class: a list, `balanced`, `complement`, or a path; the mean of `ce` divides by the weights of class indices, and by the number of soft or one-hot labels, as torch's",
    "pos_weight": "a weight for the positives: a number, a list, `balanced`, or a path",
    "batch": "`true` sums a region loss over the samples too",
    "background": "`false` leaves channel 0 out of a region loss, `alone` does unless it is the only one",
    "classes": "the channels that count in a region loss, from 0: `dice(softmax, classes=[1, 2])`; weights of classes are theirs, in this order",
    "avg_factor": "what the sum of the values is divided by in place of their count, `ce(avg_factor=batch.n)`: a number, a path, or arithmetic of both, `batch.n*2`. Where it is 0 the term is 0; it stands beside no other reduction than the mean",
    "empty": "what a class that is absent gives in a region loss",
    "channels": "where the channels of the prediction lie: first, (B, C, *S), or last, (B, *S, C)",
    "like": "the numbers of another library, `dice(sigmoid, like=smp)`: its options, where none are written",
}

ONLY = {
    "hard_negative": "; only of losses that tell positives from the background, such as `ce` and `bce`",
}
"""Where a reduction is allowed, if not everywhere and its summary does not say it."""


def run(arguments: Namespace) -> Outcome:
    """Prints all pages of a name, or the names that are near."""
    name: str = arguments.name.strip()
    pages = list(_pages(name, current_registry()))
    if pages:
        return Outcome(0, "\n\n\n".join(pages))
    known = (*current_registry().names(Loss), *(n for kind in KINDS.values() for n in _names(kind)))
    wrong = unknown_name(Span(0, len(name)), name, "name", (*known, *ROOTS, *UNIVERSALLY))
    return Outcome(1, err=f"losslang show: {wrong.message}; {wrong.fix}")


def _names(kind: type[Primitive]) -> tuple[str, ...]:
    return current_registry().names(kind)


def _pages(name: str, registry: Registry) -> Iterator[str]:
    """The pages of a name: primitive, alias, root, mistake, option."""
    for kind in KINDS.values():
        primitive = registry.get(kind, name)
        if primitive is not None:
            yield "\n".join(_page(primitive))
    alias = registry.loss(name)
    if alias is not None and alias.loss.name != name:
        stands = f"{alias.loss.name}({alias.activation})" if alias.activation else alias.loss.name
        yield "\n".join([f"`{name}` is `{stands}`", "", *_page(alias.loss)])
    if name in NAMES:
        # A name of the field; those of classes are refused, because their defaults differ.
        yield f"{name}: here it is spelled `{NAMES[name]}`"
    if name in ROOTS:
        yield f"{name}: {ROOTS[name]}"
    if code := page(name):
        yield str(code)
    if name in UNIVERSALLY:
        yield "\n".join(_universal(name))
    owners = [p for kind in KINDS.values() for p in registry.all(kind) if name in p.option_types]
    if owners:
        yield "\n".join(_option(name, owners))


def _page(primitive: Primitive) -> Iterator[str]:
    """The page of a primitive: its signature, its docstring, its facts."""
    yield f"{primitive.name} ({primitive.kind})"
    yield ""
    yield f"    {_signature(primitive)}"
    yield ""
    yield from primitive.doc.split("\n")
    facts = list(_facts(primitive))
    if facts:
        yield ""
        yield from columns(facts, 13)


def _signature(primitive: Primitive) -> str:
    """The call of a primitive with its defaults: `dice(sigmoid, smooth=1e-5, squared=false)`."""
    inside: list[str] = []
    if isinstance(primitive, Combinator) and primitive.name != "learn":
        inside += ["a", "b"] if primitive.gives == "weight" else ["a", "b", "..."]
    elif isinstance(primitive, Loss) and _activation_of(primitive):
        inside.append(_activation_of(primitive))
    elif not isinstance(primitive, (Loss, Activation, Reduction)):
        named = [p for p in primitive.signature.parameters.values() if p.kind is not p.KEYWORD_ONLY]
        taken = named[1:] if isinstance(primitive, Schedule) else named  # the clock is not written
        inside += ["..." if p.kind is p.VAR_POSITIONAL else p.name for p in taken]
    units = list(primitive.units) if isinstance(primitive, Schedule) else []
    inside += ["|".join(f"{unit}=..." for unit in units)] if units else []
    options = [name for name in primitive.option_types if name not in units]
    inside += [f"{n}={_default(primitive, n)}" for n in options]
    if isinstance(primitive, Activation) and primitive.takes == "logits":
        inside.append("temperature=1")
    return f"{primitive.name}({', '.join(inside)})" if inside else primitive.name


def _default(primitive: Primitive, option: str) -> str:
    """The default of an option in a signature; `...` where it has none that can be written."""
    is_path = isinstance(primitive, Combinator) and option == WRT
    return "..." if is_path else show(primitive.defaults.get(option, "..."))


def _activation_of(loss: Loss) -> str:
    """The activation in the signature of a loss; '' if it takes none."""
    return "ACTIVATION" if loss.inherits else "" if loss.activation == "identity" else loss.activation or ""


def _facts(primitive: Primitive) -> Iterator[tuple[str, str]]:
    """Rows about a primitive: what it reads, its options, its paper."""
    if isinstance(primitive, Loss):
        yield from _reads(primitive)
    if isinstance(primitive, Activation):
        over = {"class": "the class axis, dimension 1", "row": "the last axis, an embedding"}
        yield "turns", f"{_view(primitive.takes)} into {_view(primitive.gives)}"
        yield "over", over.get(primitive.over, "every element by itself")
    yield from zip(["options", *[""] * len(primitive.option_types)], _options(primitive), strict=False)
    if isinstance(primitive, Loss):
        yield from _gives(primitive)
    if isinstance(primitive, Loss) and primitive.like:
        lines = columns(listed(primitive))
        yield from zip(["like", *[""] * len(lines)], lines, strict=False)
    if primitive.paper:
        yield "paper", primitive.paper
    if primitive.aliases:
        aliases = _wrapped(primitive.aliases)
        yield from zip(["aliases", *[""] * len(aliases)], aliases, strict=False)


def _wrapped(aliases: tuple[str, ...]) -> list[str]:
    """Aliases in lines; one that carries an activation says so: `b = bce(sigmoid)`."""
    # A blank inside of an alias is no place to break a line.
    text = ", ".join(aliases).replace(" = ", "\0=\0")
    return [line.replace("\0", " ") for line in textwrap.wrap(text, WIDTH - 13)]


def _reads(loss: Loss) -> Iterator[tuple[str, str]]:
    """Rows about the tensors that a loss reads."""
    if loss.wants == "parameters":
        yield "reads", "the parameters of `compile(params=model)`, and no tensor of the call"
        return
    yield "reads", f"{_view(loss.wants)} of the prediction"
    for name in loss.parameters:
        if name in TARGETS:
            form, _, classes = TARGETS[name].partition("; ")
            yield "target", f"{form}; {classes}" if classes and loss.has_classes else form
        elif name not in VIEWS and name not in GIVEN:
            yield name, LAYERS.get(name, "a tensor of its own")
    if len(loss.operands) > 2 or [operand.name for operand in loss.operands][1:] != ["target"]:
        yield "tensors", f"{loss.name}@({', '.join(operand.name for operand in loss.operands)})"
    yield "activation", _default_activation(loss)


def _view(name: str) -> str:
    """A view in words."""
    return {"any": "anything"}.get(name) or IN_WORDS.get(name, name)


def _default_activation(loss: Loss) -> str:
    """The default activation of a loss in words."""
    if loss.inherits:
        return "the one that the other terms use on the same prediction, unless one is written"
    if loss.activation in (None, "identity"):
        return "none: the prediction is read as it stands"
    activation = current_registry().get(Activation, loss.activation or "")
    takes = f", from {_view(activation.takes)}" if activation else ""
    return f"{loss.activation}{takes}, unless another is written"


def _needed(primitive: Primitive) -> str:
    """How an option without a default is needed: a schedule takes one of its units."""
    return f"one of {', '.join(primitive.units)}" if isinstance(primitive, Schedule) else "required"


def _options(primitive: Primitive) -> list[str]:
    """A line for each option: its type and its default."""
    rows = [
        (name, f"{wording(declared)}; default the predictions")
        if name in primitive.defaults and _default(primitive, name) == "..."
        else (name, f"{wording(declared)}; default {show(primitive.defaults[name])}")
        if name in primitive.defaults
        else (name, f"{wording(declared)}; {_needed(primitive)}")
        for name, declared in primitive.option_types.items()
    ]
    if isinstance(primitive, Activation) and primitive.takes == "logits":
        what = f"{wording(TEMPERATURE['temperature'])}; the logits are divided by it; default 1"
        rows.append(("temperature", what))
    return columns(rows)


def _gives(loss: Loss) -> Iterator[tuple[str, str]]:
    """Rows about the values of a loss: their shape, reduction and range."""
    axes = [axis for axis in loss.result_axes if axis not in ANY_SHAPE]
    if not loss.result_axes:
        yield "values", "one number"
    elif not axes:
        yield "values", "one per element" if "*b" not in loss.result_axes else "one per row"
    else:
        yield "values", f"one per {' and '.join(AXES.get(axis, axis) for axis in axes)}"
    if loss.wants != "parameters":
        yield "reduction", loss.reduction
    if loss.range is not None:
        yield (
            "range",
            _range(*loss.range)
            + {"": "", "equal": "; 0 where equal"}.get(loss.zero_when, "; 0 when perfect"),
        )
    if loss.metric_only:
        yield "gradient", f"none: only inside metric({loss.name})"


def _range(low: float, high: float) -> str:
    return f"{low:g} or more" if math.isinf(high) else f"{low:g} to {high:g}"


def _universal(name: str) -> Iterator[str]:
    """The page of a universal option."""
    yield f"{name} (option of every loss, where its axes allow)"
    yield ""
    yield from textwrap.wrap(UNIVERSALLY[name], WIDTH)
    if name == "like":
        yield ""
        yield from columns([(library, version) for library, version in LIBRARIES.items()], 21)
    elif name == "reduction":
        yield ""
        yield from _reductions(current_registry())
    else:
        yield ""
        yield from columns([("value", _value(name))], 13)


def _value(name: str) -> str:
    """What an option takes: a path where it reads a tensor, and what its type says."""
    declared = UNIVERSAL_TYPES[name]
    path = "a path, such as `batch.valid`" if name == "mask" else "a path, such as `batch.w`"
    if declared is Any:
        return path
    return f"{wording(declared)}, or a path" if name in TENSORS else wording(declared)


def _reductions(registry: Registry) -> Iterator[str]:
    """A line for every reduction with its options, and where it is allowed."""
    rows = [
        (_signature(one), f"{one.summary.rstrip('.')}{ONLY.get(one.name, '')}")
        for one in registry.all(Reduction)
    ]
    for name, summary in rows:
        first, *more = textwrap.wrap(summary, WIDTH - 4)
        yield f"  {name}"
        yield from (f"    {line}" for line in (first, *more))
    yield ""
    usual = [f"`{loss.name}`: {loss.reduction}" for loss in registry.all(Loss) if loss.reduction != "mean"]
    told = f"The default is `mean`, unless a loss has its own ({', '.join(usual)})."
    told += " A loss that is one number already, such as `rmse`, takes none. `losslang show topk` says more about one."
    yield from textwrap.wrap(told, WIDTH)


def _option(name: str, owners: list[Primitive]) -> Iterator[str]:
    """The page of an option: the primitives that have it."""
    yield f"{name} (option)"
    yield ""
    rows = [(f"{p.name}({name}={show(p.defaults.get(name))})", wording(p.option_types[name])) for p in owners]
    yield from columns(rows)
