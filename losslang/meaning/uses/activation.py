"""Activation of a use: written, carried by an alias, or the default of the loss."""

from __future__ import annotations

from typing import Any

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.elsewhere import nearest
from losslang.diagnostics.mistakes import meaning as meaning_mistakes
from losslang.diagnostics.mistakes import names as name_mistakes
from losslang.diagnostics.mistakes import options as option_mistakes
from losslang.diagnostics.source import Span
from losslang.meaning.meaning import Choice
from losslang.meaning.options import Evaluate, ReportedError, frozen, read
from losslang.meaning.terms import MistakeError
from losslang.meaning.uses.misplaced import not_an_activation
from losslang.primitives.primitive import Activation, Loss, Primitive, Reduction
from losslang.registry import NamedLoss, Registry
from losslang.syntax import formatter, tree
from losslang.vocabulary import Dynamic, Positive

TEMPERATURE: dict[str, Any] = {"temperature": Dynamic[Positive]}
"""The option of every activation of logits: they are divided by it."""


def read_activation(
    call: tree.Call, named: NamedLoss, registry: Registry, evaluate: Evaluate, problems: list[MistakeError]
) -> tuple[Choice | None, str]:
    """The activation of a call and its source; None where it is left to the other terms, or wrong."""
    loss = named.loss
    default = Choice(loss.activation) if loss.activation else None
    if not call.arguments:
        if named.activation:
            return Choice(named.activation), "written"
        if default is None and not loss.inherits:
            return Choice("identity"), "default"
        return default, "default"
    written, *more = call.arguments
    if more or not isinstance(written, tree.Call):
        problems.append(MistakeError(not_an_activation(call, loss, registry)))
        return None, ""
    activation = registry.get(Activation, written.name)
    if activation is None:
        problems.append(MistakeError(_no_activation(call, loss, written, registry)))
        return None, ""
    choice = read_choice(activation, written, evaluate, problems)
    wrong = _fits(call, named, activation, choice, written.span)
    if wrong is not None:
        problems.append(wrong)
    return choice, "written"


def _no_activation(call: tree.Call, loss: Loss, written: tree.Call, registry: Registry) -> Diagnostic:
    """The mistake of a name that no activation has."""
    name, kinds, known = written.name, registry.kinds_of(written.name), registry.names(Activation)
    if not kinds:
        fix = (
            "" if nearest(name, known) or written.arguments or written.options else _as_head(call, loss, name)
        )
        return name_mistakes.unknown_name(written.span, name, "activation", known, fix)
    fix = f"reductions are written `reduction={name}`" if "reduction" in kinds else ""
    fix = fix or f"an activation is one of {', '.join(f'`{name}`' for name in known)}"
    return name_mistakes.wrong_kind(written.span, name, kinds[0], "an activation", fix)


def _as_head(call: tree.Call, loss: Loss, name: str) -> str:
    """The repair of a word in the place of an activation: a head, or nothing where it names what is read anyway."""
    without = call.model_copy(update={"arguments": ()})
    if name in ("logits", "probs", "pred", "preds", "outputs", "target"):
        given = "" if loss.activation else " or ".join(f"`{loss.name}({a})`" for a in ("sigmoid", "softmax"))
        return given or f"it reads its prediction by itself: `{formatter.spell(without)}`"
    if name in ("argmax", "one_hot", "onehot", "threshold", "round"):
        return (
            f"numbers that are 0 and 1 already are read by `{loss.name}(identity)`: make them before the call"
        )
    return f"a head is written `{formatter.spell(without)}@{name}`: `pred.{name}` against `target.{name}`"


def read_choice(
    primitive: Primitive, written: tree.Call, evaluate: Evaluate, problems: list[MistakeError]
) -> Choice:
    """An activation or a reduction with its options: of an activation those that differ from the defaults."""
    allowed = primitive
    values: dict[str, Any] = {}
    heated = isinstance(primitive, Activation) and primitive.takes == "logits"
    types = {**primitive.option_types, **(TEMPERATURE if heated else {})}
    for argument in written.arguments:
        wanted = "options by name" if types else "no arguments"
        problems.append(
            MistakeError(
                option_mistakes.wrong_count(argument.span, primitive.name, len(written.arguments), wanted)
            )
        )
    for option in written.options:
        if option.name not in types:
            problem = option_mistakes.unknown_option(option.span, allowed.name, option.name, tuple(types))
            problems.append(MistakeError(problem))
            continue
        try:
            values[option.name] = read(primitive.name, option, types[option.name], evaluate)
        except MistakeError as problem:
            problems.append(problem)
        except ReportedError:
            continue
    defaults = {**primitive.defaults, **({"temperature": 1.0} if heated else {})}
    merged = {**defaults, **values}
    chosen = {n: v for n, v in merged.items() if isinstance(primitive, Reduction) or v != defaults.get(n)}
    return Choice(primitive.name, tuple((name, frozen(value)) for name, value in chosen.items()))


def _fits(
    call: tree.Call, named: NamedLoss, activation: Activation, choice: Choice, span: Span
) -> MistakeError | None:
    """The mistake of an activation that does not give the view that the loss reads; None if it does."""
    loss, wants, gives = named.loss, named.loss.wants, activation.gives
    fix = f"`{loss.name}`"
    if named.activation:
        wants = "logits"
        fix = f"`{loss.name}({activation.name})`, which compiles to the same stable kernel"
        fits = False
    elif activation.takes == "embeddings":
        fits = wants == "embeddings"
    elif activation.name == "identity":
        fits = loss.activation is None or loss.wants != "logits"
    elif wants == "probs":
        fits = gives == "probs"
        fix = f"`{loss.name}(softmax)`" if gives == "log_probs" else f"`{loss.name}(sigmoid)`"
    elif wants == "log_probs":
        fits = gives == "log_probs"
        fix = "`ce(softmax)`, which is the same with a stable kernel"
    elif wants == "logits" and loss.activation:
        fits = choice == Choice(loss.activation)
        fix += ": it applies its softmax itself, at its own temperature"
    elif wants == "logits":
        fits = gives not in ("probs", "log_probs")
    elif wants == "hidden":
        fits = False
        fix += " without an activation: it applies the head and the softmax over its classes itself"
    elif wants == "parameters":
        fits = False
        fix += " without an activation: it reads no prediction"
    else:
        fits = True
    if fits:
        return None
    wrong = meaning_mistakes.wrong_view(span, call.name, call.name_span, wants, activation.name, gives, fix)
    return MistakeError(wrong)
