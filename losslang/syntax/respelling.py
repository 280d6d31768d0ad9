"""A use of a loss as it is written, with one option more: repairs keep what the user wrote."""

from __future__ import annotations

import re

from losslang.diagnostics.source import Span

HEAD = re.compile(r"@[\w.\[\]:]+|@\([^()]*\)")
"""The route behind a call."""


def with_option(text: str, span: Span, option: str) -> str:
    """The call at a span of a text with an option at its end: `kd(target=batch.t)` with `, mask=batch.valid`."""
    call = text[span.start : span.end]
    inside = call[:-1].rstrip().removesuffix(",") if call.endswith(")") else f"{call}("
    return f"{inside}{'' if inside.endswith('(') else ', '}{option})"


def routed(text: str, span: Span, call: str) -> str:
    """A call in the place of the one at a span, with the route that stands behind it."""
    head = HEAD.match(text, span.end)
    return call + (head[0] if head is not None else "")
