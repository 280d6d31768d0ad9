"""Label inference: a term that writes no `ignore_index` takes that of the other terms on its target.

It takes the label that other terms write on the same target, when they agree on one. `ignore_index=none`
neither offers nor takes a label; the default -100 of `ce` is offered to nobody. Decided before weights are
folded: a term of weight 0 still offers its label. A metric takes one and offers none.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import cast

from losslang.diagnostics.diagnostic import Diagnostic, Label
from losslang.diagnostics.mistakes import meaning as mistakes
from losslang.meaning.meaning import Input, LossUse, Term, loss_of, loss_uses, show
from losslang.meaning.rewriting import rewrite_terms
from losslang.registry import Registry

OPTION = "ignore_index"


def resolve_ignored_labels(
    terms: Sequence[Term], registry: Registry
) -> tuple[tuple[Term, ...], list[Diagnostic]]:
    """The terms with every ignored label decided, and the mistakes where terms contradict."""
    writers_of: dict[str, list[LossUse]] = defaultdict(list)
    for term in terms:
        for use in () if term.metric else loss_uses(term):
            if _is_written(use) and isinstance(use.get(OPTION), (int, tuple)):
                writers_of[_target(use)].append(use)
    diagnostics: list[Diagnostic] = []

    def decided(use: LossUse) -> LossUse:
        writers = writers_of.get(_target(use), [])
        if not writers or _is_written(use) or not loss_of(use, registry).reads_classes:
            return use
        if len({writer.get(OPTION) for writer in writers}) > 1:
            labels = [(s.span_of(OPTION), show(s.get(OPTION))) for s in writers]
            diagnostics.append(mistakes.two_labels(use.span, use.loss, _target(use), labels))
            return use
        return use.with_option(OPTION, writers[0].get(OPTION), writers[0].name)

    resolved = rewrite_terms(terms, decided)
    if not diagnostics:
        diagnostics += [wrong for target, uses in writers_of.items() for wrong in _differing(target, uses)]
    return resolved, diagnostics


def _differing(target: str, writers: Sequence[LossUse]) -> list[Diagnostic]:
    """The warning of the first two terms on a target that ignore labels of which the other reads some."""
    for at, use in enumerate(writers):
        for first in writers[:at]:
            mine, theirs = _labels(use), _labels(first)
            if target and not (mine <= theirs or theirs <= mine):
                shown = show(use.get(OPTION)), show(first.get(OPTION))
                other = Label(first.span_of(OPTION), f"ignores {shown[1]}")
                both = show(sorted(mine | theirs))
                return [mistakes.labels_differ(use.span_of(OPTION), use.loss, target, shown[0], other, both)]
    return []


def _labels(use: LossUse) -> set[int]:
    """The labels that a use ignores."""
    value = use.get(OPTION)
    return set(cast("tuple[int, ...]", value)) if isinstance(value, tuple) else {value}


def _is_written(use: LossUse) -> bool:
    """True if the program itself writes `ignore_index` for this use."""
    return OPTION in dict(use.spans)


def _target(use: LossUse) -> str:
    """The path of the target of a use; '' where it is a number or computed."""
    target = dict(use.operands).get("target")
    return str(target) if isinstance(target, Input) else ""
