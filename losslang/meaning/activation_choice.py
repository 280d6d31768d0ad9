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
    """A reading that says how its prediction becomes probabilities."""

    reading: LossUse
    choice: Choice
    as_what: str


def agree(terms: Sequence[Term], registry: Registry) -> tuple[tuple[Term, ...], list[Diagnostic]]:
    """The terms with every activation decided, and what could not be decided."""
    found: list[Diagnostic] = []
    groups: dict[str, list[tuple[LossUse, bool]]] = defaultdict(list)
    for term in terms:
        for reading in loss_uses(term):
            groups[str(reading.prediction)].append((reading, term.metric))
    taken: dict[LossUse, tuple[Choice, str]] = {}
    spoken: dict[str, _Group] = {}
    for operand, members in groups.items():
        group = spoken[operand] = _Group(operand, members, registry)
        found += group.conflicts()
        for reading, _ in members:
            if reading.activation is None:
                taken[reading], wrong = group.decide(reading)
                found += wrong

    def decided(reading: LossUse) -> LossUse:
        loss = loss_of(reading, registry)
        if reading.activation is not None:
            return replace(reading, activation=_probabilities(reading.activation, loss))
        choice, origin = taken[reading]
        return replace(reading, activation=choice, origin=origin)

    return tuple(replace(t, body=rewrite(t.body, decided)) for t in terms), found


class _Group:
    """Everything that reads one operand."""

    def __init__(self, operand: str, members: Sequence[tuple[LossUse, bool]], registry: Registry):
        self.operand = operand
        self.registry = registry
        speaking = [reading for reading, metric in members if not metric]
        self.voices = [voice for reading in speaking if (voice := self._voice(reading))]
        self.logits = [
            r for r in speaking if r.activation is not None and loss_of(r, registry).wants == "logits"
        ]

    def _voice(self, reading: LossUse) -> Voice | None:
        loss = loss_of(reading, self.registry)
        if reading.activation is None or (loss.wants == "logits" and not loss.activation):
            return None
        choice = _probabilities(reading.activation, loss)
        activation = self.registry.get(Activation, choice.name)
        if activation is None:
            return None
        if choice == IDENTITY:
            return Voice(reading, choice, "probabilities") if loss.wants == "probs" else None
        if activation.gives != "probs":
            return None
        return Voice(reading, choice, activation.takes)

    def decide(self, reading: LossUse) -> tuple[tuple[Choice, str], list[Diagnostic]]:
        """What a reading without an activation takes, from whom, and the mistakes of that."""
        choices = list(dict.fromkeys(voice.choice for voice in self.voices))
        if len(choices) > 1:
            speakers = [(v.reading.span, v.reading.name, str(v.choice)) for v in self.voices]
            wrong = mistakes.no_agreement(reading.span, reading.loss, self.operand, speakers)
            return (IDENTITY, "assumed"), [wrong]
        if choices:
            origin = self.voices[0].reading.name
            return (choices[0], origin), self._pulled(reading, choices[0], origin)
        if self.logits:
            if loss_of(reading, self.registry).metric_only:
                # Whether p > 1/2 or p is the largest is the same question about the logits.
                return (Choice("sigmoid"), self.logits[0].name), []
            other = self.logits[0]
            wrong = mistakes.two_readings(
                reading.span, reading.loss, self.operand, other.span, other.loss, "probabilities"
            )
            return (IDENTITY, "assumed"), [wrong]
        # torch's binary_cross_entropy reads probabilities by its name.
        silent = reading.loss == "bce"
        warning = [] if silent else [mistakes.assumed(reading.span, reading.loss, self.operand)]
        return (IDENTITY, "default" if silent else "assumed"), warning

    def _pulled(self, reading: LossUse, choice: Choice, origin: str) -> list[Diagnostic]:
        activation = self.registry.get(Activation, choice.name)
        if reading.loss == "bce" and activation is not None and activation.over == "class":
            return [mistakes.pulled(reading.span, reading.loss, str(choice), origin)]
        return []

    def conflicts(self) -> list[Diagnostic]:
        """One tensor read as two things, and two activations both written."""
        found: list[Diagnostic] = []
        as_logits = [v.reading for v in self.voices if v.as_what == "logits"] + self.logits
        for voice in self.voices:
            if voice.as_what != "logits" and as_logits:
                other = as_logits[0]
                what = "log-probabilities" if voice.as_what == "log_probs" else voice.as_what
                found.append(
                    mistakes.two_readings(
                        voice.reading.span, voice.reading.loss, self.operand, other.span, other.loss, what
                    )
                )
        written = [v for v in self.voices if v.reading.origin == "written" and v.as_what == "logits"]
        for voice in written[1:]:
            if voice.choice != written[0].choice:
                first = written[0]
                found.append(
                    mistakes.two_activations(
                        voice.reading.span,
                        self.operand,
                        str(first.choice),
                        first.reading.span,
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
