"""E0: texts that are not a program."""

from __future__ import annotations

from losslang.diagnostics.diagnostic import Diagnostic, Label
from losslang.diagnostics.mistakes import mistake
from losslang.diagnostics.source import Span

SPELLINGS = {
    "^": "a power is `**`",
    "×": "multiplication is `*`",
    "·": "multiplication is `*`",
    "÷": "division is `/`",
    "−": "the minus sign is the plain `-`",
    "–": "the minus sign is the plain `-`",
    "—": "the minus sign is the plain `-`",
    "‘": "quotes are the plain '...'",
    "’": "quotes are the plain '...'",
    "“": 'quotes are the plain "..."',
    "”": 'quotes are the plain "..."',
    "&": "terms are added with `+`",
    "|": "terms are added with `+`",
    "<": "there are no comparisons: `max`, `clip` or a mask does what you mean",
    ">": "there are no comparisons: `max`, `clip` or a mask does what you mean",
    "!": "there are no comparisons: a mask does what you mean",
    "?": "there are no conditions: a mask does what you mean",
    "%": "write a percentage as a number: `0.1`",
    "{": "brackets are `(` and `)`; lists are `[1, 2]`",
    "}": "brackets are `(` and `)`; lists are `[1, 2]`",
    "$": "write the value itself, or bind a name: `alpha = 0.3`",
    "\\": "a line may break after an operator or inside brackets; no backslash is needed",
}


@mistake("E001", example=";", repair="ce")
def nothing_written(span: Span) -> Diagnostic:
    """There is no program.

    A program is one expression, such as `ce + dice`, with named parts before it where they help.
    """
    return Diagnostic(
        "",
        "there is no loss here",
        span,
        caret="nothing to train on",
        fix="write an expression, such as `ce` or `0.5*bce(sigmoid) + dice`",
    )


@mistake("E002", example="ce ^ 2", repair="ce ** 2")
def unexpected_character(span: Span, char: str, meant: str = "") -> Diagnostic:
    """A character that the language does not have.

    Names are plain ASCII letters, digits and `_`; numbers use the digits 0 to 9; the operators are
    `+ - * / ** @`. Characters that only look like these come from word processors and web pages.
    """
    if meant:
        fix = meant
    elif char in SPELLINGS:
        fix = SPELLINGS[char]
    elif char.isspace() or not char.isprintable():
        fix = "replace it with a plain space"
    else:
        fix = "remove it: only ASCII letters, digits, `_` and `+ - * / ** @ ( ) [ ] , . : = ; #` count"
    shown = char if char.isprintable() and not char.isspace() else f"U+{ord(char):04X}"
    return Diagnostic("", f"`{shown}` is not part of the language", span, fix=fix)


@mistake("E003", example="2 ce", repair="2*ce")
def side_by_side(span: Span, left: str, right: str, left_span: Span, inside: str = "") -> Diagnostic:
    """Two operands stand side by side.

    There is no implicit multiplication. In YAML a plain or `>` scalar turns its line breaks into
    blanks before losslang sees them, so two statements on two lines arrive side by side: separate
    them with `;`, or use `|`, which keeps the breaks. Options stand in the brackets of each loss, before
    `@`.
    """
    fix = f"multiply with `*` or add with `+`: `{left}*{right}`; separate two statements with `;`, "
    fix += "or write the YAML value as a `|` block"
    return Diagnostic(
        "",
        f"`{left}` and `{right}` stand side by side, with nothing between them",
        span,
        caret="starts a second operand",
        labels=(Label(left_span, "ends the first"),),
        fix=f"options stand inside of the call, before `@`: `{inside}`" if inside else fix,
    )


@mistake("E004", example="dice(sigmoid, smooth=1", repair="dice(sigmoid, smooth=1)")
def unclosed(span: Span, bracket: str) -> Diagnostic:
    """A bracket is never closed.

    If the text goes on in your file, YAML cut it: in a plain scalar ` #` begins a comment.
    Quote the value, or use a `|` block.
    """
    closing = {"(": ")", "[": "]"}[bracket]
    return Diagnostic(
        "",
        f"this `{bracket}` is never closed",
        span,
        caret=f"no `{closing}` follows",
        fix=f"close it with `{closing}`; if your file has more text than this, YAML cut it at ` #`: "
        "quote the value",
    )


@mistake("E005", example="ce + dice)", repair="ce + dice")
def stray_closing(span: Span, bracket: str, opened: tuple[Span, str] | None) -> Diagnostic:
    """A closing bracket that closes nothing, or another kind of bracket."""
    if opened is None:
        return Diagnostic(
            "", f"this `{bracket}` closes nothing", span, caret="no bracket is open", fix="remove it"
        )
    wanted = {"(": ")", "[": "]"}[opened[1]]
    return Diagnostic(
        "",
        f"`{opened[1]}` is closed by `{bracket}`",
        span,
        caret=f"expected `{wanted}`",
        labels=(Label(opened[0], "opened here"),),
        fix=f"write `{wanted}`",
    )


@mistake("E006", example="ce + * dice", repair="ce * dice")
def missing_operand(span: Span, found: str, after: str) -> Diagnostic:
    """An operator, a comma or a bracket has nothing to work on.

    If the rest of the expression is in your file, YAML cut it: a plain scalar ends at ` #`, and one
    that starts with `&` or `*` is an anchor or an alias. Quote the value, or use a `|` block.
    """
    if found == "+" and not after:
        message, fix = "an expression does not start with `+`", "remove the `+`"
    elif not found:
        message = f"the text ends after `{after}`, where an operand should follow"
        fix = f"write what follows, or remove `{after}`; if your file has more, YAML cut it at ` #`: "
        fix += "quote the value"
    elif not after:
        message, fix = f"nothing stands before `{found}`", f"write an operand before `{found}`"
    else:
        message = f"`{found}` follows `{after}`, where an operand should stand"
        fix = f"write an operand between them, or remove `{found}`"
    return Diagnostic("", message, span, caret="an operand is missing", fix=fix)


@mistake("E007", example="perceptual(layers=['a)", repair="ce(reduction='sum')")
def unclosed_string(span: Span, quote: str) -> Diagnostic:
    """A quoted text is never closed. It ends with the quote it began with, on the same line."""
    return Diagnostic(
        "",
        f"this {quote} is never closed",
        span,
        caret="starts a text",
        fix=f"close it with {quote} on the same line, or drop the quotes: they are optional for names",
    )


@mistake("E008", example="1e999*ce", repair="1e9*ce")
def bad_number(span: Span, text: str, reason: str) -> Diagnostic:
    """A number that cannot be read, or that a float cannot hold.

    Digits are 0 to 9; one `_` may stand between two digits (`100_000`); everything is computed in
    64-bit floats, which end near 1.8e308.
    """
    shown = text if len(text) <= 24 else text[:20] + "..."
    return Diagnostic("", f"`{shown}` {reason}", span, fix="write a finite number, such as `1e-5`")


@mistake("E009", example="-" * 70 + "ce", repair="ce")
def too_big(span: Span, what: str, limit: int) -> Diagnostic:
    """A program beyond the limits.

    4,096 characters, 500 nodes, 64 levels of nesting. They keep every check fast, whatever a
    config holds.
    """
    return Diagnostic(
        "", f"the program has more than {limit:,} {what}", span, fix="split it, or bind parts to names"
    )


@mistake("E010", example="uncertainty([ce, l1])", repair="ce + l1")
def value_outside_option(span: Span, kind: str) -> Diagnostic:
    """A text or a list where an expression must stand.

    Quoted texts and lists are values of options: `dice(class_weight=[1, 2])`.
    """
    return Diagnostic(
        "",
        f"a {kind} can only be the value of an option",
        span,
        fix="give it a name: `option=...`, or write the elements as separate arguments",
    )


@mistake("E011", example="dice(sigmoid, smooth: 1)", repair="dice(sigmoid, smooth=1)")
def colon(span: Span) -> Diagnostic:
    """A colon outside of a slice.

    Options are written `name=value`, and so are names of terms: `rec = l1`. A colon stands only in
    a slice: `pred[0:1]`.
    """
    return Diagnostic("", "`:` stands only in a slice, such as `pred[0:1]`", span, fix="write `=`")


@mistake("E012", example="ce, dice", repair="ce + dice")
def stray_comma(span: Span, decimal: str) -> Diagnostic:
    """A comma outside of a call, a list or the operands after `@`.

    Numbers have a decimal point: `0.3*dice`.
    """
    fix = "add terms with `+`; separate statements with `;`"
    fix = f"numbers have a decimal point: `{decimal}`" if decimal else fix
    return Diagnostic("", "a comma separates only arguments, list items and operands", span, fix=fix)


@mistake("E013", example="ce\ndice", repair="ce + dice")
def two_results(span: Span, first: Span) -> Diagnostic:
    """More than one expression.

    A program is any number of `name = expression` lines and then the one expression that is
    trained on. It comes last.
    """
    return Diagnostic(
        "",
        "a program ends with its one expression, and this one has more after it",
        span,
        caret="something follows",
        labels=(Label(first, "a whole expression stands here"),),
        fix="add them with `+`, or give the parts names: `rec = l1`",
    )


@mistake("E014", example="rec = l1", repair="rec = l1; rec")
def no_result(span: Span, name: str, continued: bool) -> Diagnostic:
    """Only names, and no expression to train on.

    A line that starts with an operator continues the one above it: `a = ce`, then `-a` on the next
    line, is `a = ce - a`.
    """
    return Diagnostic(
        "",
        f"`{name}` is named, but nothing says what to train on",
        span,
        caret="continues the line above" if continued else "",
        fix="a line that starts with an operator continues the one above: end that one with `;`"
        if continued
        else f"end with an expression: `; {name}`",
    )


@mistake("E015", example="ce@a@b", repair="ce@a.b")
def bad_route(span: Span, found: str, element: str = "") -> Diagnostic:
    """What follows `@` is not a route.

    `ce@seg` reads `pred.seg` against `target.seg`; `mse@(pred.mu, batch.noise)` names the operands;
    `ce@pred[0]` reads the first of a list. One `@` to an operand.
    """
    fix = "`ce@seg`, `ce@seg.fine` or `mse@(pred.mu, batch.noise)`"
    fix = f"an element of a list is named whole: `{element}`" if element else fix
    message = f"`{found}` cannot stand here: after `@` comes one head or the operands in brackets"
    return Diagnostic("", message, span, fix=fix)


@mistake("E016", example="pred.a['x']", repair="pred.a.x")
def bad_access(span: Span, found: str, *, of_all: bool = False) -> Diagnostic:
    """A way into a tensor that the language does not have.

    A path is `.key`, `[1]` (an element of a list) or `[0:1]` (channels of a tensor, or part of a
    list). Only `pred`, `target`, `batch` and `const` have paths; what a call returns has none.
    """
    fix = "a path is `.key`, `[1]` or `[0:1]`, after `pred`, `target`, `batch` or `const`"
    if of_all:
        fix += "; every element of a list is `each(ce)`"
    if found == ",":
        fix = "slices of several axes are Python, before the call: `loss(pred[:, :-1], target[:, 1:])`"
    return Diagnostic("", f"`{found}` cannot follow here", span, fix=fix)


@mistake("E017", example="pred.x = ce; ce", repair="x = ce; x")
def bad_assignment(span: Span) -> Diagnostic:
    """`=` where it names nothing.

    `=` stands after the one plain name of a statement (`rec = l1`) or of an option
    (`dice(smooth=1)`). There are no comparisons.
    """
    return Diagnostic(
        "",
        "`=` stands only after the plain name of a statement or of an option",
        span,
        fix="`name = expression` on its own line, or `loss(option=value)`",
    )


@mistake("E018", example="dice(smooth=1, sigmoid)", repair="dice(sigmoid, smooth=1)")
def positional_after_option(span: Span) -> Diagnostic:
    """The activation, or another argument without a name, stands after an option."""
    return Diagnostic(
        "", "an argument without a name comes before the options", span, fix="move it to the front"
    )


@mistake("E019", example="pred()", repair="mse")
def calls_reserved(span: Span, name: str) -> Diagnostic:
    """A reserved word is called or bound.

    `pred target batch const step epoch true false none` mean the same in every program.
    """
    return Diagnostic(
        "",
        f"`{name}` is a reserved word: it cannot be called or bound",
        span,
        fix="use another name",
    )


@mistake("E020", example="pred[0.5].x", repair="pred[0].x")
def bad_index(span: Span, text: str) -> Diagnostic:
    """An index that is not a whole number."""
    return Diagnostic("", f"`{text}` is not a whole number", span, fix="an index is `[0]`, `[-1]`")
