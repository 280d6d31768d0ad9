"""One prediction, one activation.

A term that reads probabilities and writes no activation takes the one that the other terms use on
the same operand, when they agree on one. Decided before weights are folded, so a zero weight still
speaks; metrics listen and do not speak.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.mistakes import meaning as mistakes
from losslang.meaning.meaning import Choice, LossUse, Term, loss_of, loss_uses, rewrite
from losslang.primitives.primitive import Activation, Loss
from losslang.registry import Registry

IDENTITY = Choice("identity")


@dataclass(frozen=True)
class Voice:
    """A use that says how its prediction becomes probabilities."""

    use: LossUse
    choice: Choice
    as_what: str


def agree(terms: Sequence[Term], registry: Registry) -> tuple[tuple[Term, ...], list[Diagnostic]]:
    """The terms with every activation decided, and what could not be decided."""
    found: list[Diagnostic] = []
    groups: dict[str, list[tuple[LossUse, bool]]] = defaultdict(list)
    for term in terms:
        for use in loss_uses(term):
            groups[str(use.prediction)].append((use, term.metric))
    taken: dict[LossUse, tuple[Choice, str]] = {}
    spoken: dict[str, _Group] = {}
    for operand, members in groups.items():
        group = spoken[operand] = _Group(operand, members, registry)
        found += group.conflicts()
        for use, _ in members:
            if use.activation is None:
                taken[use], wrong = group.decide(use)
                found += wrong

    def decided(use: LossUse) -> LossUse:
        loss = loss_of(use, registry)
        if use.activation is not None:
            return replace(use, activation=_probabilities(use.activation, loss))
        choice, origin = taken[use]
        return replace(use, activation=choice, origin=origin)

    return tuple(replace(t, body=rewrite(t.body, decided)) for t in terms), found


class _Group:
    """Everything that reads one operand."""

    def __init__(self, operand: str, members: Sequence[tuple[LossUse, bool]], registry: Registry):
        self.operand = operand
        self.registry = registry
        speaking = [use for use, metric in members if not metric]
        self.voices = [voice for use in speaking if (voice := self._voice(use))]
        self.logits = [
            r for r in speaking if r.activation is not None and loss_of(r, registry).wants == "logits"
        ]

    def _voice(self, use: LossUse) -> Voice | None:
        loss = loss_of(use, self.registry)
        if use.activation is None or (loss.wants == "logits" and not loss.activation):
            return None
        choice = _probabilities(use.activation, loss)
        activation = self.registry.get(Activation, choice.name)
        if activation is None:
            return None
        if choice == IDENTITY:
            return Voice(use, choice, "probabilities") if loss.wants == "probs" else None
        if activation.gives != "probs":
            return None
        return Voice(use, choice, activation.takes)

    def decide(self, use: LossUse) -> tuple[tuple[Choice, str], list[Diagnostic]]:
        """What a use without an activation takes, from whom, and the mistakes of that."""
        choices = list(dict.fromkeys(voice.choice for voice in self.voices))
        if len(choices) > 1:
            speakers = [(v.use.span, v.use.name, str(v.choice)) for v in self.voices]
            wrong = mistakes.no_agreement(use.span, use.loss, self.operand, speakers)
            return (IDENTITY, "assumed"), [wrong]
        if choices:
            origin = self.voices[0].use.name
            return (choices[0], origin), self._pulled(use, choices[0], origin)
        if self.logits:
            if loss_of(use, self.registry).metric_only:
                # Whether p > 1/2 or p is the largest is the same question about the logits.
                return (Choice("sigmoid"), self.logits[0].name), []
            other = self.logits[0]
            wrong = mistakes.two_readings(
                use.span, use.loss, self.operand, other.span, other.loss, "probabilities"
            )
            return (IDENTITY, "assumed"), [wrong]
        # torch's binary_cross_entropy reads probabilities by its name.
        silent = use.loss == "bce"
        warning = [] if silent else [mistakes.assumed(use.span, use.loss, self.operand)]
        return (IDENTITY, "default" if silent else "assumed"), warning

    def _pulled(self, use: LossUse, choice: Choice, origin: str) -> list[Diagnostic]:
        activation = self.registry.get(Activation, choice.name)
        if use.loss == "bce" and activation is not None and activation.over == "class":
            return [mistakes.pulled(use.span, use.loss, str(choice), origin)]
        return []

    def conflicts(self) -> list[Diagnostic]:
        """One tensor read as two things, and two activations both written."""
        found: list[Diagnostic] = []
        as_logits = [v.use for v in self.voices if v.as_what == "logits"] + self.logits
        for voice in self.voices:
            if voice.as_what != "logits" and as_logits:
                other = as_logits[0]
                what = "log-probabilities" if voice.as_what == "log_probs" else voice.as_what
                found.append(
                    mistakes.two_readings(
                        voice.use.span, voice.use.loss, self.operand, other.span, other.loss, what
                    )
                )
        written = [v for v in self.voices if v.use.origin == "written" and v.as_what == "logits"]
        for voice in written[1:]:
            if voice.choice != written[0].choice:
                first = written[0]
                found.append(
                    mistakes.two_activations(
                        voice.use.span,
                        self.operand,
                        str(first.choice),
                        first.use.span,
                        str(voice.choice),
                    )
                )
        return found


def _probabilities(choice: Choice, loss: Loss) -> Choice:
    """The activation that gives probabilities, also where the loss is written on their logarithms."""
    if choice.name == "log_softmax" and loss.wants == "log_probs":
        return replace(choice, name="softmax")
    if choice == IDENTITY and loss.wants == "log_probs":
        return Choice("exp")
    return choice
