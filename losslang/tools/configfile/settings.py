"""Settings in a config that builds a loss: the `overrides` of `losslang.compile`, with their places."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.mistakes.configs import no_mapping
from losslang.diagnostics.source import Source, Span
from losslang.meaning.overrides import Setting
from losslang.tools.configfile.find import Match
from losslang.tools.configfile.forms import Form
from losslang.tools.configfile.interpolation import MISSING, Filler, Unanswered
from losslang.tools.configfile.nodes import Decoded, Mapping, Scalar, Sequence
from losslang.tools.configfile.targets import Target
from losslang.tools.expressions import GIVEN_ELSEWHERE

UNKNOWN = object()
"""A value that another file gives."""


def settings_of(
    file: Source, form: Form, target: Target | None, text: Match, filler: Filler
) -> tuple[dict[str, Setting], list[str]]:
    """The overrides beside the text of a target, and why some were left alone."""
    entry = target.argument("overrides") if target is not None else None
    if target is None or entry is None or not isinstance(entry.node, Mapping):
        return {}, []
    reading = _Reading(form, file, filler)
    settings: dict[str, Setting] = {}
    left: list[str] = []
    for name, span, at in _leaves(replace(text, node=entry.node), entry.node):
        value = reading.value(at)
        if value is UNKNOWN:
            left.append(GIVEN_ELSEWHERE)
            continue
        path = f"{text.path.rpartition('.')[0]}.overrides"
        written = (
            _place(file, path, Span(at.node.start, at.node.end)) if isinstance(at.node, Scalar) else None
        )
        key = _place(file, path, span)
        settings[name] = Setting(value, key, written or key)
    return settings, left


def no_mapping_of(
    file: Source, form: Form, target: Target | None, text: Match, filler: Filler
) -> Diagnostic | None:
    """The mistake of overrides that are no mapping; None for what is one, or for what another file gives."""
    entry = target.argument("overrides") if target is not None else None
    if entry is None or isinstance(entry.node, Mapping):
        return None
    value = _Reading(form, file, filler).value(replace(text, node=entry.node))
    if value is None or value is UNKNOWN:
        return None
    return no_mapping(entry.span, value, in_file=True)


def _leaves(at: Match, mapping: Mapping, prefix: str = "") -> Iterator[tuple[str, Span, Match]]:
    """Every value below a mapping with its log key, `dice.smooth` where it is nested, and the place of that key."""
    for name, span, node in mapping.entries:
        inner = replace(at, node=node, above=(*at.above, mapping))
        if isinstance(node, Mapping):
            yield from _leaves(inner, node, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", span, inner


def _place(file: Source, path: str, span: Span) -> Source:
    """A piece of the file as a Source of its own, for a caret below it."""
    return Source(
        file.text[span.start : span.end],
        file.filename,
        path,
        file.text,
        tuple(range(span.start, span.end + 1)),
    )


class _Reading:
    """Values of a config as the library that builds the loss reads them.

    What is quoted is a text, as `compile` takes it: jsonargparse alone makes a number of it.
    """

    def __init__(self, form: Form, file: Source, filler: Filler):
        self.form, self.file, self.filler = form, file, filler

    def value(self, at: Match) -> Any:
        """A value as Python has it; UNKNOWN where another file gives it."""
        node = at.node
        if isinstance(node, Sequence):
            items = [self.value(replace(at, node=item, above=(*at.above, node))) for item in node.items]
            return UNKNOWN if UNKNOWN in items else items
        if isinstance(node, Mapping):
            return {entry.name: None for entry in node.entries}
        if node.kind != "text":
            return self._plain(node)
        filled = self.filler.fill(at)
        if isinstance(filled, Match):
            return self.value(filled)
        if isinstance(filled, Unanswered) or filled.text.strip() == MISSING:
            return UNKNOWN
        return filled.text if node.style else self._number(filled)

    def _plain(self, scalar: Scalar) -> Any:
        """The value of a scalar that is no text."""
        written = self.form.decoded(self.file.text, scalar)
        if scalar.kind == "truth value":
            return written.text.lower() in ("true", "yes", "on")
        return self._number(written) if scalar.kind == "number" else None

    def _number(self, written: Decoded) -> Any:
        """The number that a text spells, also `1e-5`, which PyYAML alone reads as a text; else the text."""
        text = written.text.strip()
        try:
            number = float(text)
        except ValueError:
            return written.text
        is_whole = text.lstrip("+-").isdecimal()
        return int(text) if is_whole else number if math.isfinite(number) else written.text
