"""Machine-readable reports: JSON in ruff's field names, GitHub annotations, SARIF for code scanning."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.excerpt import one_line, visible
from losslang.diagnostics.mistakes import page
from losslang.diagnostics.rendering import level
from losslang.diagnostics.source import Source, Span


def json_report(diagnostics: Sequence[Diagnostic]) -> str:
    """A list of objects in ruff's field names; rows and columns from 1, in characters, end exclusive."""
    return _json([_record(diagnostic) for diagnostic in diagnostics])


def _record(diagnostic: Diagnostic) -> dict[str, Any]:
    source = diagnostic.source
    return {
        "code": diagnostic.code,
        "severity": level(diagnostic),
        "message": diagnostic.message,
        "filename": source.filename,
        **_locations(source, diagnostic.span),
        "caret": diagnostic.caret or None,
        "labels": [{"text": text, **_locations(source, span)} for span, text in diagnostic.labels],
        "why": diagnostic.why or None,
        "fix": diagnostic.fix or None,
        "url": diagnostic.url,
    }


def _locations(source: Source, span: Span) -> dict[str, Any]:
    """Start and end of a span, in ruff's field names."""
    start, end = source.places(span)
    return {"location": start._asdict(), "end_location": end._asdict()}


def _json(value: Any) -> str:
    """JSON in ASCII, which no console can garble. A lone surrogate has no UTF-8: it becomes `�`."""
    text = re.sub(r"[\ud800-\udfff]", "�", json.dumps(value, indent=2, ensure_ascii=False))
    return re.sub(r"[^\x00-\x7f]+", lambda found: json.dumps(found[0])[1:-1], text)


def github(diagnostic: Diagnostic) -> str:
    """One GitHub workflow command, which annotates the changed file."""
    start, end = diagnostic.source.places(diagnostic.span)
    first, last = f",col={start.column}", f",endColumn={end.column}"
    if start.row != end.row:  # GitHub refuses columns for what runs over several lines
        first = last = ""
    file = re.sub("[%:,]", lambda found: quote(found[0]), one_line(diagnostic.source.filename))
    where = f"file={file},line={start.row}{first},endLine={end.row}{last},title=losslang {diagnostic.code}"
    told = [visible(line).replace("%", "%25") for line in _told(diagnostic).splitlines()]
    return f"::{level(diagnostic)} {where}::{'%0A'.join(told)}"


def _told(diagnostic: Diagnostic) -> str:
    """The message of a diagnostic with its `why` and its `fix`, a line each."""
    notes = {"why": diagnostic.why, "fix": diagnostic.fix}
    return "\n".join([diagnostic.message, *(f"{name}: {text}" for name, text in notes.items() if text)])


def sarif(diagnostics: Sequence[Diagnostic]) -> str:
    """A SARIF 2.1.0 log, which code-scanning services read."""
    rules = {diagnostic.code: _rule(diagnostic) for diagnostic in diagnostics}
    order = list(rules)
    driver = {"name": "losslang", "informationUri": "https://losslang.dev", "rules": list(rules.values())}
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(diagnostic, order.index(diagnostic.code)) for diagnostic in diagnostics],
    }
    schema = "https://json.schemastore.org/sarif-2.1.0.json"
    return _json({"$schema": schema, "version": "2.1.0", "runs": [run]})


def _rule(diagnostic: Diagnostic) -> dict[str, Any]:
    """A SARIF rule: the page of a code."""
    known = page(diagnostic.code)
    title = known.title if known else diagnostic.code
    return {
        "id": diagnostic.code,
        "shortDescription": {"text": title},
        "fullDescription": {"text": (known.text if known else "") or title},
        "help": {"text": str(known) if known else title},
        "defaultConfiguration": {"level": level(diagnostic)},
    }


def _result(diagnostic: Diagnostic, rule: int) -> dict[str, Any]:
    """A SARIF result: one diagnostic."""
    source = diagnostic.source
    related = [{**_physical(source, span), "message": {"text": text}} for span, text in diagnostic.labels]
    return {
        "ruleId": diagnostic.code,
        "ruleIndex": rule,
        "level": level(diagnostic),
        "message": {"text": _told(diagnostic)},
        "locations": [_physical(source, diagnostic.span)],
        **({"relatedLocations": related} if related else {}),
    }


def _physical(source: Source, span: Span) -> dict[str, Any]:
    """A SARIF physical location."""
    start, end = source.places(span)
    region = {"startLine": start.row, "startColumn": start.column}
    region |= {"endLine": end.row, "endColumn": end.column}
    return {"physicalLocation": {"artifactLocation": {"uri": _uri(source.filename)}, "region": region}}


def _uri(filename: str) -> str:
    """A filename as code-scanning services want it: a relative reference, `file:` if the path is absolute."""
    path = PurePath(filename)
    slashed = path.as_posix()
    root = "" if not path.is_absolute() else "file://" if slashed.startswith("/") else "file:///"
    return root + quote(slashed, "/:" if root else "/", errors="replace")
