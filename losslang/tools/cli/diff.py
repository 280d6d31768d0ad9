"""`losslang diff`: says in words, term by term, how two programs differ."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.errors import LossError
from losslang.meaning.canonical import canonical
from losslang.meaning.changes import changes, renamed
from losslang.meaning.checker import analyze
from losslang.meaning.lock import outdated
from losslang.meaning.program import Meaning
from losslang.registry import current_registry
from losslang.tools.cli.inputs import from_either
from losslang.tools.cli.outcome import Outcome, failed


def run(arguments: Namespace) -> Outcome:
    """Compares two programs: exit 0 for the same mathematics, 1 for another, 2 where one cannot be read."""
    try:
        old, new = (_meaning(what, arguments.key) for what in (arguments.old, arguments.new))
    except LossError as error:
        return Outcome(2, "", failed(error.diagnostics))
    except ValueError as error:
        return Outcome(2, "", f"losslang diff: {error}")
    differ = list(_differences(old, new))
    return Outcome(1 if differ else 0, "\n".join(differ) or _alike(old, new))


def _meaning(what: str, key: str | None) -> Meaning:
    """The one program of an argument. Raises LossError for mistakes, ValueError for more than one."""
    expressions = from_either(what, key)
    errors: list[Diagnostic] = [d for d in expressions.diagnostics if d.is_error]
    match expressions.sources:
        case (source,) if not errors:
            checked = analyze(source, overrides=expressions.settings_of(0))
        case (_, _, *_) as sources if not errors:
            keys = ", ".join(source.key for source in sources)
            raise ValueError(f"`{what}` holds {len(sources)} expressions: name one, FILE:KEY, of {keys}")
        case _:
            raise LossError(errors or expressions.diagnostics)
    if checked.meaning is None:
        raise LossError(checked.errors)
    return checked.meaning


def _differences(old: Meaning, new: Meaning) -> Iterator[str]:
    """A line for each difference in mathematics, and for what a lock says that is no longer so."""
    registry = current_registry()
    for meaning in (old, new):
        yield from outdated(meaning.source, meaning, registry)
    if old.fingerprint != new.fingerprint:
        yield from changes(_terms(old), _terms(new), registry)


def _terms(meaning: Meaning) -> dict[str, str]:
    """The texts of the terms, and of what they learn."""
    learned = {f"learned {p.name}": p.bound.partition(" = ")[2] for p in meaning.learned}
    return {**learned, **{term.name: str(term) for term in meaning.terms}}


def _alike(old: Meaning, new: Meaning) -> str:
    """The answer for one fingerprint: how the texts differ."""
    registry = current_registry()
    if canonical(old, registry) == canonical(new, registry):
        return "the same program"
    keys = [f"{name} is called {now}" for name, now in renamed(_terms(old), _terms(new)).items()]
    return "; ".join(["the same mathematics, written differently", *keys])
