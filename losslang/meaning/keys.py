"""Log keys: the name of every term in `detail`, overrides, messages and loggers.

A key holds letters, digits and `_ . / -` only, which is what MLflow and TensorBoard take.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from losslang.meaning.meaning import Apply, LossUse, Term

_STEP = re.compile(r"(?<=[\w\]])\[(-?\d*|i)(:?)(-?\d*)\]")
"""An index or a slice of a path: a list stands behind a sign."""
_HEAD = re.compile(r"^(\w+)@")
_SIGNS = re.compile(r"[^A-Za-z0-9_.-]+")


def key(text: str) -> str:
    """The log key of a term without a name, from its canonical text: `sqrt(mse)` is `sqrt_mse`.

    `[0]` is `.0`, `[1:3]` is `.1-3`; blanks go, and every other run of signs is one `_`.
    """
    packed = _STEP.sub(_step, "".join(text.split()))
    return "_".join(filter(None, _SIGNS.split(packed)))


def _step(found: re.Match[str]) -> str:
    """The key of an index or a slice; an open end is written out."""
    start, colon, stop = found.groups()
    return f".{start or '0'}-{stop or 'end'}" if colon else f".{start}"


def at_head(loss: str, head: str) -> str:
    """The log key of a loss at a head: `ce.seg`."""
    return f"{loss}.{key(head)}" if head else loss


def below_name(name: str, part: str) -> str:
    """The log key of a part of a named sum: `gan/bce`."""
    return f"{name}/{part}"


def split(setting: str) -> tuple[str, str]:
    """The log key and the option of an override, split at the last dot: `ce.seg` and `weight`."""
    owner, _, option = setting.rpartition(".")
    return owner, option


def modern(setting: str, names: Sequence[str]) -> str:
    """An override as it is spelled now, from the spelling of the first version: `ce@seg.weight`.

    `names` are those that the program binds: a `/` behind one of them divides nothing.
    """
    owner, option = split(setting)
    above: list[str] = []
    while "/" in owner and owner.partition("/")[0] in names:
        name, _, owner = owner.partition("/")
        above.append(name)
    return f"{'/'.join([*above, modern_key(owner)])}.{option}" if owner else option


def modern_key(old: str) -> str:
    """The log key of an unnamed term, from that of the first version: `ce@seg`, `1 - ssim`."""
    return key(_HEAD.sub(r"\1.", old))


def distinct(terms: Sequence[Term]) -> tuple[Term, ...]:
    """The terms under distinct keys: a repeated one gets `_2`, and a name that is bound keeps its own.

    A loss that is a term by itself is called by the key of its term.
    """
    wanted = {term.name for term in terms}
    given: dict[int, str] = {}
    counts: dict[str, int] = {}
    for i in sorted(range(len(terms)), key=lambda i: not terms[i].named):
        own = name = terms[i].name
        while counts.get(own, 0) and name in wanted:
            counts[own] += 1
            name = f"{own}_{counts[own]}"
        counts.setdefault(own, 1)
        wanted.add(name)
        given[i] = name
    return tuple(_called(term, given[i]) for i, term in enumerate(terms))


def _called(term: Term, name: str) -> Term:
    """A term under its key."""
    body = term.body
    match body:
        case LossUse():
            body = replace(body, name=name)
        case Apply("each" | "matryoshka", (LossUse() as use,)):
            body = replace(body, arguments=(replace(use, name=name),))
        case _:
            pass
    return replace(term, name=name, body=body)
