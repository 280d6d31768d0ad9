"""The lock of a program: its text with every default written out, and the version of each loss.

It is a program of the same fingerprint: a later losslang, with other defaults, reads it as it is meant.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from losslang.diagnostics.source import Source
from losslang.meaning.checker import analyze
from losslang.meaning.meaning import LossUse, Term, loss_of, loss_uses, show
from losslang.meaning.program import Meaning
from losslang.meaning.program_tree import program_of_named_terms
from losslang.meaning.use_tree import node_in_full
from losslang.registry import Registry
from losslang.syntax import formatter, tree

HEADER = re.compile(r"# losslang lock (?P<fingerprint>[0-9a-f]+)(?:: (?P<versions>.*))?")


def locked(meaning: Meaning, registry: Registry) -> str:
    """The lock of a program: a comment with its fingerprint and versions, then its terms, one a line."""
    choices = ((True, True), (True, False), (False, True), (False, False))
    texts = [_written(meaning, registry, keeps_names=keeps, speaks=speaks) for keeps, speaks in choices]
    read = [(text, analyze(Source(text), registry=registry).meaning) for text in texts]
    same = [(text, again) for text, again in read if again and again.fingerprint == meaning.fingerprint]
    if not same:
        raise AssertionError(f"not a lock, as it is read as another program:\n{texts[0]}")
    keys = [term.name for term in meaning.terms]
    return next((text for text, again in same if [t.name for t in again.terms] == keys), same[0][0])


def outdated(source: Source, meaning: Meaning, registry: Registry) -> tuple[str, ...]:
    """What a lock says of itself that is no longer so: its text means something else in this losslang."""
    header = HEADER.match(source.text.lstrip())
    if header is None or header["fingerprint"] == meaning.fingerprint:
        return ()
    before = dict(pair.split(" ") for pair in (header["versions"] or "").split(", ") if pair)
    now = _versions(meaning, registry)
    changed = [f"{n}: version {before[n]} -> {v}" for n, v in now.items() if before.get(n, str(v)) != str(v)]
    return tuple(changed) or (f"the lock says {header['fingerprint']}, and is {meaning.fingerprint} here",)


def _versions(meaning: Meaning, registry: Registry) -> dict[str, int]:
    """The version of each loss of a program, in the order of the program."""
    return {use.loss: loss_of(use, registry).version for use in meaning.loss_uses}


def _written(meaning: Meaning, registry: Registry, *, keeps_names: bool, speaks: bool) -> str:
    """`speaks`: an ignored label is written where it is the default too, which neighbours would take."""
    versions = ", ".join(f"{name} {version}" for name, version in _versions(meaning, registry).items())
    lines = [f"# losslang lock {meaning.fingerprint}" + (f": {versions}" if versions else "")]

    def spell(use: LossUse) -> tree.Node:
        return node_in_full(use, registry, speaks=speaks)

    program = program_of_named_terms(meaning, registry, spell, keeps_names=keeps_names)
    # A line that begins with a minus would go on from the one above.
    lines += [f"{formatter.spell(binding)};" for binding in program.bindings]
    return "\n".join([*lines, *_terms(program.result), *_taken(meaning.terms, speaks=speaks)])


def _terms(result: tree.Node) -> Iterator[str]:
    """The terms of the total, one a line: a line that begins with an operator goes on."""
    if not isinstance(result, tree.Sum):
        yield formatter.spell(result)
        return
    for sign, term in zip(("", *result.operators), result.terms, strict=True):
        text = formatter.spell(term)
        bracketed = f"({text})" if isinstance(term, tree.Sum) else text
        yield f"{sign} {bracketed}".lstrip()


def _taken(terms: Sequence[Term], *, speaks: bool) -> Iterator[str]:
    """Comments on what is written here and was taken, or assumed, there."""
    for term in terms:
        for use in (part for part in loss_uses(term) if part.origin not in ("written", "default")):
            where = "assumed" if use.origin == "assumed" else f"taken from {use.origin}"
            yield f"# {term.name}: {use.activation} {where}"
        for use in loss_uses(term):
            for name, owner in use.taken:
                yield f"# {term.name}: {name}={show(use.get(name))} taken from {owner}"
            said = {*dict(use.spans), *dict(use.taken)}
            for name, value in () if speaks else use.universal:
                if name not in said:
                    yield f"# {term.name}: {name}={show(value)} by default"
