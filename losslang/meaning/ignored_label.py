"""One target, one ignored label.

A term that reads classes and writes no `ignore_index` takes the one that other terms wrote on the same
target, when they agree on one. What is written speaks, and `ignore_index=none` neither speaks nor listens;
the -100 that `ce` has by default is its own. Decided before weights are folded, so a zero weight still
speaks; metrics listen and do not speak.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.mistakes import meaning as mistakes
from losslang.meaning.meaning import Input, LossUse, Term, loss_of, loss_uses, rewrite
from losslang.registry import Registry

OPTION = "ignore_index"


def resolve_ignored_labels(
    terms: Sequence[Term], registry: Registry
) -> tuple[tuple[Term, ...], list[Diagnostic]]:
    """The terms with every ignored label decided, and what could not be decided."""
    spoken: dict[str, list[LossUse]] = defaultdict(list)
    for term in terms:
        for use in () if term.metric else loss_uses(term):
            if _is_written(use) and isinstance(use.get(OPTION), int):
                spoken[_target(use)].append(use)
    found: list[Diagnostic] = []

    def decided(use: LossUse) -> LossUse:
        speakers = spoken.get(_target(use), [])
        if not speakers or _is_written(use) or not loss_of(use, registry).reads_classes:
            return use
        if len({speaker.get(OPTION) for speaker in speakers}) > 1:
            labels = [(s.span_of(OPTION), int(s.get(OPTION))) for s in speakers]
            found.append(mistakes.two_labels(use.span, use.loss, _target(use), labels))
            return use
        return use.with_option(OPTION, speakers[0].get(OPTION), speakers[0].name)

    return tuple(replace(term, body=rewrite(term.body, decided)) for term in terms), found


def _is_written(use: LossUse) -> bool:
    return OPTION in dict(use.spans)


def _target(use: LossUse) -> str:
    """The path of its target; '' where that is a number or computed."""
    target = dict(use.operands).get("target")
    return str(target) if isinstance(target, Input) else ""
