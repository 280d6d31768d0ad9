"""Summaries: a program on one line, with what is in force and where it is from."""

from __future__ import annotations

from collections.abc import Iterator

from losslang.meaning.meaning import LossUse, show
from losslang.meaning.program import Meaning
from losslang.meaning.program_tree import program_of
from losslang.registry import current_registry
from losslang.syntax import formatter


def summary(meaning: Meaning) -> str:
    """A program on one line that has the same fingerprint; a comment says what is taken, and what was set.

    `0.5*bce(sigmoid) + dice(sigmoid)  # dice: sigmoid from bce`
    """
    line = formatter.on_one_line(program_of(meaning, current_registry()))
    notes = [f"{use.name}: {', '.join(_taken(use))}" for use in meaning.loss_uses if any(_taken(use))]
    settings = [f"{name}={show(value)}" for name, value in meaning.settings]
    notes += [f"set from outside: {', '.join(settings)}"] if settings else []
    return f"{line}  # {'; '.join(dict.fromkeys(notes))}" if notes else line


def _taken(use: LossUse) -> Iterator[str]:
    """What a use does not write itself: `sigmoid from bce`, `ignore_index=255 from ce`."""
    if use.origin == "assumed":
        yield f"{use.activation} assumed"
    elif use.origin not in ("written", "default"):
        yield f"{use.activation} from {use.origin}"
    for name, owner in use.taken:
        yield f"{name}={show(use.get(name))} from {owner}"
