"""The formatter (pretty-printer): tree to canonical text, one spelling of every program.

`parse(render(tree)) == tree`.
"""

from __future__ import annotations

from losslang.diagnostics.source import Source, Span
from losslang.syntax import tree
from losslang.syntax.parser import parse
from losslang.syntax.program_text import source_of

# Precedence. A node is bracketed where its position demands a tighter one.
_SUM, _PRODUCT, _UNARY, _POWER, _ROUTED, _OPERAND = range(6)


def format(text: str | Source) -> str:
    """Formats a program: one canonical spelling, a statement a line, comments kept.

    Idempotent, and equal to the text it came from when it is parsed again.

    Args:
        text: The program, or a Source.

    Raises:
        LossError: The text is not a program; the error holds the one syntax mistake.

    Example:
        >>> losslang.format("0.50*bce( sigmoid )+dice(smooth = 1.0)")
        '0.5*bce(sigmoid) + dice(smooth=1)'
    """
    source = source_of(text)
    return render(parse(source), source.text)


def render(program: tree.Program, text: str = "") -> str:
    """Formats a tree. `text` is what it was parsed from: it tells where comments stood."""
    statements: list[tree.Node] = [*program.bindings, program.result]
    above: list[list[str]] = [[] for _ in (*statements, None)]
    beside = [""] * len(statements)
    for comment in program.comments:
        at, is_beside = _place(comment, [s.span for s in statements], text)
        if is_beside and not beside[at]:
            beside[at] = "  " + comment.text
        else:
            above[at].append(comment.text)
    spelled = [spell(statement) for statement in statements]
    lines: list[str] = []
    for i, statement in enumerate(spelled):
        # A line that starts with a minus would continue the one above.
        ends = ";" if i + 1 < len(spelled) and spelled[i + 1].startswith("-") else ""
        lines += [*above[i], statement + ends + beside[i]]
    return "\n".join([*lines, *above[-1]])


def on_one_line(program: tree.Program) -> str:
    """The canonical text of a program on one line, without its comments."""
    return "; ".join(spell(statement) for statement in (*program.bindings, program.result))


def _place(comment: tree.Comment, spans: list[Span], text: str) -> tuple[int, bool]:
    """The index of the statement that a comment belongs to; True if it stands beside it, else above."""
    following = next((i for i, span in enumerate(spans) if span.end > comment.start), len(spans))
    if following and not comment.alone and "\n" not in text[spans[following - 1].end : comment.start]:
        return following - 1, True
    return following, False


def spell(node: tree.Node) -> str:
    """The canonical text of one node, without comments."""
    return _spell(node)[0]


def _spell(node: tree.Node) -> tuple[str, int]:
    """The text of a node, and how tightly its outermost operator binds."""
    match node:
        case tree.Routed(body=body, route=route):
            return f"{_within(body, _OPERAND)}@{spell(route)}", _ROUTED
        case tree.Power(base=base, exponent=exponent):
            return f"{_within(base, _ROUTED)}**{_within(exponent, _UNARY)}", _POWER
        case tree.Negative(operand=operand):
            return f"-{_within(operand, _UNARY)}", _UNARY
        case tree.Product(factors=factors, operators=operators):
            first, *others = (_within(factor, _UNARY) for factor in factors)
            return first + "".join(map("".join, zip(operators, others, strict=True))), _PRODUCT
        case tree.Sum(terms=terms, operators=operators):
            first, *others = (_within(term, _PRODUCT) for term in terms)
            signed = (f" {sign} {term}" for sign, term in zip(operators, others, strict=True))
            return first + "".join(signed), _SUM
        case tree.Binding(name=name, value=value):
            return f"{name} = {spell(value)}", _SUM
        case _:
            return _spell_operand(node), _OPERAND


def _spell_operand(node: tree.Node) -> str:
    """The text of a node that needs no brackets anywhere."""
    match node:
        case tree.Number(value=value):
            return number(value)
        case tree.Word(value=value):
            return {True: "true", False: "false", None: "none"}[value]
        case tree.Text(value=value):
            quote = '"' if "'" in value else "'"
            return f"{quote}{value}{quote}"
        case tree.Path():
            return path(node)
        case tree.Route():
            return path(node.path)
        case tree.Call(name=name, arguments=arguments, options=options):
            inside = ", ".join(map(spell, (*arguments, *options)))
            return f"{name}({inside})" if inside else name
        case tree.Option(name=name, value=value):
            return f"{name}={spell(value)}"
        case tree.Items(items=items):
            return f"[{', '.join(map(spell, items))}]"
        case tree.Operands(items=items):
            return f"({', '.join(map(spell, items))})"
        case _:
            raise TypeError(f"{type(node).__name__} has no spelling")


def _within(node: tree.Node, least: int) -> str:
    """The text of a node in a place that demands to bind at least so tightly, in brackets where needed."""
    text, binds = _spell(node)
    return text if binds >= least else f"({text})"


def path(node: tree.Path) -> str:
    """The text of a path: `pred.seg[0:1]`."""
    return node.root + "".join(map(access, node.steps))


def access(step: tree.Access) -> str:
    """The text of one step of a path: `.seg`, `[0]` or `[0:1]`."""
    match step:
        case tree.Key(name):
            return f".{name}"
        case tree.Index(position):
            return f"[{position}]"
        case tree.Slice(start, stop):
            return f"[{'' if start is None else start}:{'' if stop is None else stop}]"
        case tree.Element():
            return "[i]"


def number(value: int | float) -> str:
    """The shortest text that reads back as the same number: `100_000`, `0.5`, `1e-5`."""
    if isinstance(value, int):
        return f"{value:_}" if abs(value) >= 10_000 else str(value)
    mantissa, _, exponent = f"{value!r}".partition("e")
    if exponent:
        return f"{mantissa}e{int(exponent)}"
    if not value.is_integer():
        return mantissa
    digits = str(abs(int(value)))
    significant = digits.rstrip("0")
    if len(digits) < 5 or len(digits) - len(significant) < 3:
        return number(int(value))
    point = f".{significant[1:]}" if len(significant) > 1 else ""
    return f"{'-' if value < 0 else ''}{significant[0]}{point}e{len(digits) - 1}"
