"""E14: Python, and words of other languages, where the loss line has names and signs."""

from __future__ import annotations

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.mistakes import mistake
from losslang.diagnostics.source import Span

CONDITION = (
    "there are no conditions: a mask chooses elements, `ce(mask=batch.valid)`, "
    "a number of the call a term, `batch.on*dice`, and a clock the time, `after(steps=1000)*dice`"
)
WORDS = {
    **dict.fromkeys(["if", "else", "elif", "then", "unless", "when", "where", "case"], CONDITION),
    **dict.fromkeys(["and", "plus"], "terms are added: `ce + dice`"),
    **dict.fromkeys(["or"], "the smaller or the larger of two losses is `min(ce, dice)` or `max(ce, dice)`"),
    **dict.fromkeys(["times"], "a factor is written `0.5*ce`"),
    **dict.fromkeys(["with"], "options stand in brackets: `ce(label_smoothing=0.1)`"),
    **dict.fromkeys(["on", "of"], "a head is written `ce@seg`, the tensors `mse@(pred.mu, batch.noise)`"),
    **dict.fromkeys(
        ["for", "while", "in"],
        "there are no loops: `each(ce)` takes every output of a list, and two of them are terms, `ce@a + 0.5*ce@b`",
    ),
    **dict.fromkeys(
        ["not", "is"], "there are no comparisons: a mask says what counts, `ce(mask=batch.valid)`"
    ),
    **dict.fromkeys(["as"], "a term is named before it: `seg = ce; seg + dice`"),
    **dict.fromkeys(
        ["import", "from", "def", "lambda", "return", "class"],
        "a loss line runs no Python: a function of yours is registered with `@losslang.loss`",
    ),
}
"""Words that are no names here, with what is written in their place."""


@mistake("E140", example="nn.CrossEntropyLoss(label_smoothing=0.1)", repair="ce(label_smoothing=0.1)")
def dotted_call(span: Span, name: str, fix: str) -> Diagnostic:
    """A call as Python writes it: `nn.MSELoss()`, `F.l1_loss(a, b)`.

    A loss line runs no Python. Its names stand alone, without a library before them, and losses are not
    called with tensors: each reads `pred` against `target`, or what `@` says. `losslang list` shows all.
    """
    return Diagnostic(
        "", f"`{name}` is Python: names stand alone here", span, caret="not called here", fix=fix
    )


@mistake("E141", example="ce if epoch else dice", repair="ce(mask=batch.valid) + dice")
def word(span: Span, name: str, fix: str = "") -> Diagnostic:
    """A word of a programming language, or of English, between two operands.

    Terms are joined by `+ - * /`; nothing is chosen while a program runs, but what a mask or a number of the
    call says.
    """
    message = f"`{name}` is no word of the language"
    return Diagnostic("", message, span, caret="not an operator", fix=fix or WORDS[name])


@mistake("E142", example="ce(mask=target != 255)", repair="ce(ignore_index=255)")
def comparison(span: Span, sign: str, label: str) -> Diagnostic:
    """A comparison in a mask.

    There are no comparisons. A label that does not count is `ignore_index=255`, several are a list;
    any other mask is computed with the data and handed over: `mask=batch.valid`.
    """
    fix = "a mask is computed with the data and handed over: `mask=batch.valid`"
    fix = f"the label that does not count is `ignore_index={label}`; else {fix}" if label else fix
    return Diagnostic(
        "",
        f"`{sign}` is not part of the language: there are no comparisons",
        span,
        fix=fix,
    )


READ = {
    "yaml": "yaml.safe_load(Path({name!r}).read_text())['loss']",
    "yml": "yaml.safe_load(Path({name!r}).read_text())['loss']",
    "toml": "tomllib.loads(Path({name!r}).read_text())['loss']",
    "json": "json.loads(Path({name!r}).read_text())['loss']",
    "loss": "Path({name!r}).read_text()",
}
"""How the expression in a file is read, by the ending of its name."""


@mistake("E143", example="conf/train.toml", repair="0.5*bce(sigmoid) + dice")
def a_file(span: Span, name: str, ending: str) -> Diagnostic:
    """The name of a file in the place of an expression.

    `compile`, `check` and `explain` take the text of a program and read no file: a program has no way to one.
    The commands `losslang check` and `losslang explain` read files.
    """
    return Diagnostic(
        "",
        f"`{name}` is the name of a file, not an expression",
        span,
        caret="is not opened",
        fix=f"hand over what it holds: `losslang.compile({READ[ending].format(name=name)})`",
    )
