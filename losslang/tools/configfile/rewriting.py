"""Rewriting: a new text in the place of an expression, in the style of the file."""

from __future__ import annotations

from pathlib import PurePath

from losslang.diagnostics.errors import LossError
from losslang.diagnostics.source import Source
from losslang.syntax.formatter import format
from losslang.syntax.parser import parse
from losslang.tools.configfile.forms import FORMS, Form
from losslang.tools.configfile.nodes import Mapping, Node, Scalar, Sequence, each
from losslang.tools.configfile.reading import MARK


def rewrite(text: str, source: Source, new: str) -> str:
    r"""The text of a file with the expression `new` in the place of `source`, which was read from it.

    Every other character stays as it is. The value keeps its style: a `|` block its header and indentation,
    a quoted value its quotes; a bare value is quoted only where `new` needs it. Where the style has no line
    breaks, statements are joined with `; `; a comment between them then makes a `>` block a `|` block,
    becomes `\n` inside of double quotes, and leaves any other value as it is.

    The result has been read again and holds `new`; a value that cannot hold it stays unchanged, and so does
    one of which `${...}` fills in a part. Several values of one file are rewritten last one first, for their
    offsets move.
    """
    body = text.removeprefix(MARK)
    form = FORMS.get(PurePath(source.filename).suffix.lower())
    if form is None:
        newline = "\r\n" if "\r\n" in body else "\n"
        changed = new.replace("\n", newline) + newline
    else:
        changed = _in_place(Source(body, source.filename), form, source, new)
    return text[: len(text) - len(body)] + changed


def _in_place(file: Source, form: Form, source: Source, new: str) -> str:
    """Tries the spellings of `new` in the place of a scalar; the first that holds it is used."""
    documents = form.tree(file)
    scalar = _scalar_at(documents, source.offsets[0] if source.offsets else 0)
    flat = _flat(new)
    written = "" if scalar is None else form.decoded(file.text, scalar).text
    # A part that `${...}` fills in is not written here.
    if scalar is None or written != source.text or written.strip() in (new, flat):
        return file.text
    shape = _shape(file.text, documents, scalar.start)
    for written in form.spellings(file.text, scalar, new, flat):
        changed = file.text[: scalar.start] + written + file.text[scalar.end :]
        if _holds(Source(changed, file.filename), form, scalar.start, shape, new):
            return changed
    return file.text


def _scalar_at(documents: list[Node], at: int) -> Scalar | None:
    """The text scalar that contains an offset; None if there is none."""
    scalars = (node for node in each(documents) if isinstance(node, Scalar) and node.kind == "text")
    return next((scalar for scalar in scalars if scalar.start <= at <= scalar.end), None)


def _flat(new: str) -> str | None:
    """`new` without line breaks; None if a comment needs them."""
    if "\n" not in new:
        return new
    try:
        *above, last = format(new).split("\n")
    except LossError:
        return None
    flat = "; ".join([*(line.removesuffix(";") for line in above), last])
    return flat if _same(flat, new) else None


def _same(one: str, other: str) -> bool:
    """True if two texts are one program with the same comments."""
    if one == other:
        return True
    try:
        first, second = parse(one), parse(other)
    except LossError:
        return False
    return first == second and [c.text for c in first.comments] == [c.text for c in second.comments]


def _holds(file: Source, form: Form, at: int, shape: list[object], new: str) -> bool:
    """True if the value at `at` holds `new`, and everything else in the file is unchanged."""
    try:
        documents = form.tree(file)
    except LossError:
        return False
    scalar = _scalar_at(documents, at)
    if scalar is None or scalar.start != at or _shape(file.text, documents, at) != shape:
        return False
    return _same(form.decoded(file.text, scalar).text, new)


def _shape(text: str, documents: list[Node], skipped: int) -> list[object]:
    """All of a file but the scalar at `skipped`, as a list that can be compared."""
    shape: list[object] = []
    for node in each(documents):
        match node:
            case Scalar(start=start, end=end, kind=kind):
                shape.append((kind, "" if start == skipped else text[start:end]))
            case Sequence(tag=tag, items=items):
                shape.append((tag, len(items)))
            case Mapping(tag=tag, entries=entries, merged=merged):
                shape.append((tag, [entry.name for entry in entries], len(merged)))
    return shape
