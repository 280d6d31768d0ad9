"""Activation inference: a term that writes no activation takes that of the other terms on its tensor.

A loss that reads probabilities takes the activation that the other terms use on the same operand, when
they agree on one. Decided before weights are folded: a term of weight 0 still offers its activation. A
metric takes one and offers none.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.mistakes import meaning as mistakes
from losslang.meaning.meaning import Choice, LossUse, Term, loss_of, loss_uses
from losslang.meaning.rewriting import rewrite_terms
from losslang.primitives.primitive import Activation, Loss
from losslang.registry import Registry

IDENTITY = Choice("identity")


class ActivationChoice(NamedTuple):
    """The activation of a use that reads probabilities, which other terms may take.

    `as_what` is what it takes the prediction for: logits, probabilities or log-probabilities.
    """

    use: LossUse
    activation: Choice
    as_what: str


def resolve_activations(
    terms: Sequence[Term], registry: Registry
) -> tuple[tuple[Term, ...], list[Diagnostic]]:
    """The terms with every activation decided, and the mistakes where none can be."""
    diagnostics: list[Diagnostic] = []
    groups: dict[str, list[tuple[LossUse, bool]]] = defaultdict(list)
    for term in terms:
        for use in loss_uses(term):
            groups[str(use.prediction)].append((use, term.metric))
    taken: dict[LossUse, tuple[Choice, str]] = {}
    for operand, members in groups.items():
        group = _Group(operand, members, registry)
        diagnostics += group.conflicts()
        for use, _ in members:
            if use.activation is None:
                taken[use], wrong = group.decide(use)
                diagnostics += wrong

    def decided(use: LossUse) -> LossUse:
        loss = loss_of(use, registry)
        if use.activation is not None:
            return replace(use, activation=_probabilities(use.activation, loss))
        activation, origin = taken[use]
        return replace(use, activation=activation, origin=origin)

    return rewrite_terms(terms, decided), diagnostics


class _Group:
    """All uses that read one prediction, metrics told apart: these take an activation and offer none."""

    def __init__(self, operand: str, members: Sequence[tuple[LossUse, bool]], registry: Registry):
        self.operand = operand
        self.registry = registry
        trained = [use for use, metric in members if not metric]
        self.asks = any(use.activation is None for use, _ in members)
        self.choices = [choice for use in trained if (choice := self._choice(use))]
        self.logits = [
            use for use in trained if use.activation is not None and loss_of(use, registry).wants == "logits"
        ]

    def _choice(self, use: LossUse) -> ActivationChoice | None:
        """The activation that a use offers to the others; None if it has none or reads no probabilities."""
        loss = loss_of(use, self.registry)
        if use.activation is None or (loss.wants == "logits" and not loss.activation):
            return None
        chosen = _probabilities(use.activation, loss)
        activation = self.registry.get(Activation, chosen.name)
        if activation is None:
            return None
        if chosen == IDENTITY:
            return ActivationChoice(use, chosen, "probabilities") if loss.wants == "probs" else None
        if activation.gives != "probs":
            return None
        return ActivationChoice(use, chosen, activation.takes)

    def decide(self, use: LossUse) -> tuple[tuple[Choice, str], list[Diagnostic]]:
        """The activation of a use that writes none, the name of the use that it is from, and the mistakes."""
        offered = list(dict.fromkeys(choice.activation for choice in self.choices))
        if len(offered) > 1:
            written = [(c.use.span, c.use.name, str(c.activation)) for c in self.choices]
            return (IDENTITY, "assumed"), [mistakes.no_agreement(use.span, use.loss, self.operand, written)]
        if offered:
            origin = self.choices[0].use.name
            return (offered[0], origin), self._pulled(use, offered[0], origin)
        if self.logits:
            other = self.logits[0]
            if loss_of(use, self.registry).metric_only:
                # p > 1/2 where the logit is above 0, and the largest p is that of the largest logit.
                return (Choice("sigmoid"), other.name), []
            wrong = mistakes.two_readings(
                use.span, use.loss, self.operand, other.span, other.loss, "probabilities"
            )
            return (IDENTITY, "assumed"), [wrong]
        if use.loss == "bce":  # torch's binary_cross_entropy reads probabilities by its name
            return (IDENTITY, "default"), []
        return (IDENTITY, "assumed"), [mistakes.assumed(use.span, use.loss, self.operand)]

    def _pulled(self, use: LossUse, choice: Choice, origin: str) -> list[Diagnostic]:
        """The warning about a `bce` that takes a softmax over the classes from another term."""
        activation = self.registry.get(Activation, choice.name)
        if use.loss == "bce" and activation is not None and activation.over == "class":
            return [mistakes.pulled(use.span, use.loss, str(choice), origin)]
        return []

    def conflicts(self) -> list[Diagnostic]:
        """The mistakes of one tensor read as two things, and of two activations."""
        diagnostics: list[Diagnostic] = []
        as_logits = [c.use for c in self.choices if c.as_what == "logits"] + self.logits
        for choice in self.choices:
            if choice.as_what != "logits" and as_logits:
                use, other = choice.use, as_logits[0]
                what = "log-probabilities" if choice.as_what == "log_probs" else choice.as_what
                diagnostics.append(
                    mistakes.two_readings(use.span, use.loss, self.operand, other.span, other.loss, what)
                )
        said = [c for c in self.choices if c.use.origin in ("written", "default") and c.as_what == "logits"]
        for choice in said[1:]:
            if self._disagree(said[0], choice):
                one, other = _said(said[0]), _said(choice)
                diagnostics.append(
                    mistakes.two_activations(choice.use.span, self.operand, one, said[0].use.span, other)
                )
        return diagnostics

    def _disagree(self, one: ActivationChoice, other: ActivationChoice) -> bool:
        """True for two activations of which one is written at least.

        A default has no temperature to disagree with. Where a third term writes none, E302 says it.
        """
        origins = {one.use.origin, other.use.origin}
        if origins == {"written"}:
            return one.activation != other.activation
        return "written" in origins and not self.asks and one.activation.name != other.activation.name


def _said(choice: ActivationChoice) -> tuple[str, str]:
    """An activation, and the loss that has it by default; '' where it is written."""
    return str(choice.activation), "" if choice.use.origin == "written" else choice.use.loss


def _probabilities(choice: Choice, loss: Loss) -> Choice:
    """The activation that gives probabilities, also where the loss is written on their logarithms."""
    if choice.name == "log_softmax" and loss.wants == "log_probs":
        return replace(choice, name="softmax")
    if choice == IDENTITY and loss.wants == "log_probs":
        return Choice("exp")
    return choice
