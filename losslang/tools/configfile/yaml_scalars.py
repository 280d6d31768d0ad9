"""YAML scalars: the offset of each character, and new text in the style of the old.

The escapes, folds and indentations here are PyYAML's, to the letter: a test holds one against the other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from losslang.diagnostics.source import Span
from losslang.tools.configfile.nodes import Decoded, Scalar, decode

BREAK = r"(?:\r\n|[\r\n\x85\u2028\u2029])"
BREAKS = rf"(?:{BREAK}[ \t]*)+"
# The one group of a token names what it is; a token without a group says itself.
FOLD = rf"[ \t]*(?P<fold>{BREAKS})|[ \t]+"
PLAIN = re.compile(rf"{FOLD}|[^ \t\r\n\x85\u2028\u2029]+")
SINGLE = re.compile(rf"{FOLD}|(?P<quote>'')|[^' \t\r\n\x85\u2028\u2029]+")
DOUBLE = re.compile(
    rf"\\(?P<joined>{BREAKS})|{FOLD}"
    r"|\\(?P<code>x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8})|\\(?P<letter>.)"
    r"|[^\\ \t\r\n\x85\u2028\u2029]+"
)
LETTERS = dict(zip("0abtnvfreN_LP", "\0\a\b\t\n\v\f\r\x1b\x85\xa0\u2028\u2029", strict=True))
LINE = re.compile(rf"([^\r\n\x85\u2028\u2029]*)({BREAK}?)")
UNPRINTABLE = re.compile(
    "[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)


def decoded(text: str, scalar: Scalar) -> Decoded:
    """The text of a scalar, and the offset of each character."""
    span = Span(scalar.start + len(scalar.style), scalar.end - len(scalar.style))
    match scalar.style:
        case "'":
            return decode(text, span, SINGLE, _says)
        case '"':
            return decode(text, span, DOUBLE, _says)
        case "":
            return decode(text, span, PLAIN, _says)
        case _:
            return _block(text, scalar)


def _says(match: re.Match[str]) -> str:
    """The text of one token: a fold, an escape, or itself."""
    written = match[0]
    match match.lastgroup:
        case "fold":
            first, *more = _breaks(match["fold"])
            kept = first if first != "\n" else "" if more else " "
            return kept + "".join(more)
        case "joined":
            return "".join(_breaks(match["joined"])[1:])
        case "quote":
            return "'"
        case "code":
            return chr(int(match["code"][1:], 16))
        case "letter":
            return LETTERS.get(match["letter"], match["letter"])
        case _:
            return written


def _breaks(text: str) -> list[str]:
    """The line breaks of `text`, normalised as YAML does."""
    return [_break(found) for found in re.findall(BREAK, text)]


def _break(written: str) -> str:
    return written if written in ("\u2028", "\u2029") else "\n" if written else ""


def _block(text: str, scalar: Scalar) -> Decoded:
    """The text of a block scalar with its offsets.

    `|` keeps its breaks; in `>` one is a blank or goes. The parser decided that, so its value is followed.
    """
    offsets: list[int] = []
    value, end = scalar.value, scalar.start
    for char, start, after in _letters(text, scalar):
        if len(offsets) == len(value):
            break
        wanted = value[len(offsets)]
        if wanted == char or (wanted == " " and after > start and char in "\n\u2028\u2029"):
            offsets.append(start)
            end = after
    missing = len(value) - len(offsets)
    return Decoded(value, (*offsets, *[end] * missing, end))


def _letters(text: str, scalar: Scalar) -> Iterator[tuple[str, int, int]]:
    """The characters of a block without its indentation: text, start and end of each."""
    indent = indentation(text, scalar)
    for line in block_lines(text, scalar):
        start, end = line.span(1)
        for at in range(min(start + indent, end), end):
            yield text[at], at, at + 1
        if line[2]:
            yield _break(line[2]), end, line.end()


def block_lines(text: str, scalar: Scalar) -> Iterator[re.Match[str]]:
    """The lines of a block below its header: text and break of each."""
    lines = LINE.finditer(text, scalar.start, scalar.end)
    next(lines)
    return lines


def indentation(text: str, scalar: Scalar) -> int:
    """The number of blanks before each line of a block that do not belong to it.

    Only the parser knows where the block may begin, so a line is compared with what is left of it.
    """
    value = re.split("[\n\u2028\u2029]", scalar.value)
    lines = [line[1] for line in block_lines(text, scalar)]
    for line in lines:
        if line.strip(" \t"):
            left = next(kept for kept in value if kept.strip(" \t"))
            return _lead(line) - _lead(left)
    return max(map(len, lines), default=0) - max(map(len, value))


def _lead(line: str) -> int:
    """The number of blanks that a line starts with."""
    return len(line) - len(line.lstrip(" \t"))


# ---------------------------------------------------------------------------- writing


def spellings(text: str, scalar: Scalar, new: str, flat: str | None) -> Iterator[str]:
    """The ways to write `new` in the place of a scalar, its own style first."""
    match scalar.style:
        case "|":
            yield _as_block(text, scalar, new.split("\n"))
        case ">" if flat is not None:
            yield _as_block(text, scalar, _separated(new, flat))
        case ">":  # a comment before the end would swallow what is folded onto it
            yield "|" + _as_block(text, scalar, new.split("\n"))[1:]
        case '"':
            yield '"' + _escaped(flat or new) + '"'
        case _ if flat is not None:
            if not scalar.style:
                yield flat
            yield "'" + flat.replace("'", "''") + "'"
        case _:  # no style of one line can hold the breaks: the scalar stays as it is
            return


def _separated(new: str, flat: str) -> list[str]:
    """The lines that fold to `flat`."""
    *above, last = new.split("\n")
    separated = [*(line.removesuffix(";") + ";" for line in above), last]
    return separated if " ".join(separated) == flat else [flat]


def _as_block(text: str, scalar: Scalar, lines: list[str]) -> str:
    """New lines in the block: with its header, its indentation, and what follows its last line."""
    written = text[scalar.start : scalar.end]
    header = re.match(rf"[^\r\n\x85\u2028\u2029]*{BREAK}", written)
    if header is None:
        return written
    newline = "\r\n" if header[0].endswith("\r\n") else "\n"
    indent = " " * indentation(text, scalar)
    after = written[len(written.rstrip()) :].lstrip(" \t")
    return header[0] + newline.join(indent + line for line in lines) + after


def _escaped(text: str) -> str:
    text = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return UNPRINTABLE.sub(lambda found: f"\\U{ord(found[0]):08x}", text)
