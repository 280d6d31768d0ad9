"""E4: config files without an expression, and what their format does to one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from losslang.diagnostics.diagnostic import Diagnostic, Label
from losslang.diagnostics.elsewhere import spelled
from losslang.diagnostics.mistakes import mistake
from losslang.diagnostics.source import Span

KEYS = ("loss", "criterion", "objective")
"""The keys of a config under which an expression stands."""
NAMED = f"{', '.join(f'`{key}`' for key in KEYS[:-1])} or `{KEYS[-1]}`"
QUOTED = {
    "YAML": "quote the value, `loss: 'ce + dice'`, or write it as a `|` block",
    "TOML": 'quote the value: `loss = "ce + dice"`',
    "JSON": 'quote the value: `"loss": "ce + dice"`',
}
LIMITS = {
    "characters": "keep the expression in a file of its own, such as `train.loss`",
    "levels of nesting": "keep the expression nearer to the top, or in a file of its own: `train.loss`",
    "values repeated by aliases": "write the expression once, outside of what the aliases repeat",
}


@mistake("E401", example='read("trian.yaml")', repair='read("train.yaml", "loss: ce")', form="python")
def unreadable(filename: str, reason: str, near: str = "") -> Diagnostic:
    """A file that cannot be opened.

    It does not exist, is a directory, or may not be read.
    """
    fix = f"did you mean `{near}`?" if near else "check the path and who may read it"
    return Diagnostic("", f"`{filename}` cannot be read: {reason}", Span(0, 0), fix=fix)


@mistake(
    "E402",
    example='Path("train.yaml").write_text("loss: ce", encoding="utf-16")\nread("train.yaml")',
    repair='Path("train.yaml").write_text("loss: ce", encoding="utf-8")\nread("train.yaml")',
    form="python",
)
def not_utf8(span: Span, filename: str, byte: int, at: int) -> Diagnostic:
    """A file that is not UTF-8 text.

    Older Windows editors save as UTF-16 or in a code page of the country. Such a file is refused
    rather than read as something that it does not say.
    """
    return Diagnostic(
        "",
        f"`{filename}` is not UTF-8: its byte {at} is 0x{byte:02x}",
        span,
        caret="no character",
        fix='save the file with the encoding "UTF-8"',
    )


@mistake("E403", example='read("train.ini", "ce")', repair='read("train.loss", "ce")', form="python")
def unknown_kind(filename: str, known: Sequence[str]) -> Diagnostic:
    """A file of a kind that losslang does not read.

    The suffix decides: .yaml and .yml, .toml and .json are searched for expressions; a .loss file
    is one expression from its first character to its last.
    """
    *most, last = known
    return Diagnostic(
        "",
        f"`{filename}` is none of the files that hold expressions: {', '.join(most)} and {last}",
        Span(0, 0),
        fix="name the file by what is in it; a file that is one expression ends in .loss",
    )


@mistake("E404", example="loss: " + "[" * 101 + "ce" + "]" * 101, repair="loss: ce", form="yaml")
def too_big(span: Span, what: str, limit: int) -> Diagnostic:
    """A file beyond the limits.

    500,000 characters, 100 levels of nesting, 200,000 values that YAML aliases repeat. They keep
    every check fast, whatever a file holds.
    """
    return Diagnostic("", f"the file has more than {limit:,} {what}", span, fix=LIMITS[what])


@mistake("E405", example="loss: ce: softmax", repair="loss: ce(softmax)", form="yaml")
def invalid(span: Span, form: str, reason: str) -> Diagnostic:
    """A file that is not valid YAML, TOML or JSON.

    In YAML the usual reason is a value that is not quoted: it may not begin with one of
    ``* & @ ! % ` [ { , | > ' "`` and not hold `: ` or ` #`. A quoted value or a `|` block may hold
    anything.
    """
    return Diagnostic("", f"this is not valid {form}: {reason}", span, fix=_validity(form))


def _validity(form: str) -> str:
    if form == "YAML":
        return "if this is the value, quote it or write it as a `|` block; nesting is by blanks, not tabs"
    if form == "TOML":
        return "a value is written `loss = \"ce + dice\"`; one of several lines stands between ''' and '''"
    return 'a value is written `"loss": "ce + dice"`; JSON has no comments and no comma after the last value'


@mistake("E406", example="lr: 0.1\n", repair="lr: 0.1\nloss: ce\n", form="yaml")
def nothing_found(wanted: str | None, similar: Sequence[str]) -> Diagnostic:
    """A file in which no expression was found.

    An expression is the text under a key called `loss`, `criterion` or `objective`, at any depth.
    Other keys are named with `--key`: their last name, their whole path (`train.loss_fn`), or a
    pattern (`train.*`, `losses[*]`).
    """
    if wanted is None:
        message = f"no expression found: no key is called {NAMED}"
        fix = "write the expression under the key `loss`, or name the key that holds it with `--key`"
    else:
        message = f"no expression found: no key matches `{wanted}`"
        fix = "`--key` takes the last name of a key, its whole path, or a pattern such as `train.*`"
    if similar:
        fix = " or ".join(f"`--key {name}`" for name in similar)
    return Diagnostic("", message, Span(0, 0), fix=fix)


@mistake(
    "E407",
    example="loss:\n  name: dice\n  smooth: 1\n",
    repair="loss: dice(sigmoid, smooth=1)\n",
    form="yaml",
)
def container(
    span: Span, key: str, kind: str, form: str = "YAML", inside: str = "", *, configures: str = ""
) -> Diagnostic:
    """A key that should hold an expression holds a mapping or a list.

    A loss of several parts is still one expression: the parts are added, and each may have a name,
    `seg = ce; box = l1; seg + 0.5*box`. A weight is a factor and an option stands in brackets:
    `0.5*dice(smooth=1)`.

    A mapping of texts, `loss: {generator: ..., discriminator: ...}`, is read as several expressions, one
    for each key, unless one of its keys says that it configures another program: `name`, `type`, `weight`
    and the like (docs/checking.md lists them), with a word under it and no expression. Items of a list are
    named with `--key 'loss[*]'`.

    A `text` with its `overrides` needs `_target_: losslang.compile` beside it, by which Hydra builds it.
    """
    if form == "Python":
        fix = (
            f"hand over the entry: `[{inside!r}]`"
            if inside
            else "hand over one expression, a text; its entries one by one"
        )
    elif kind == "mapping":
        fix = "write one expression: a weight is a factor and an option stands in brackets, `0.5*dice(smooth=1)`"
    else:
        fix = "write one expression, `seg = ce; box = l1; seg + 0.5*box`"
    if form != "Python" and not configures:
        pattern = f"{key}.*" if kind == "mapping" else f"{key}[*]"
        fix += f"; if its {'entries' if kind == 'mapping' else 'items'} are expressions of their own: `--key '{pattern}'`"
    caret = f"`{configures}` configures a loss of another program" if configures else ""
    return Diagnostic("", f"`{key}` holds a {kind}, not an expression", span, caret=caret, fix=fix)


def without_target(span: Span, key: str, form: str = "YAML") -> Diagnostic:
    """The arguments of `losslang.compile` without the target that takes them (E407)."""
    fix = "add `_target_: losslang.compile` beside its `text`"
    if form == "Python":
        fix = "hand over its entries: `losslang.compile(**config)`"
    return replace(container(span, key, "mapping", form), fix=fix)


@mistake("E408", example="loss: &ce\n", repair="loss: ce\n", form="yaml")
def empty(span: Span, key: str, written: str, form: str) -> Diagnostic:
    """A key that should hold an expression holds nothing.

    In YAML a value that begins with `&` is the name of an anchor, one that begins with `#` is a
    comment, and `~` and `null` are nothing too.
    """
    reading = {"&": " as the name of an anchor", "!": " as a tag"}.get(written[:1], "")
    message = f"`{key}` holds nothing"
    if reading:
        message += f": YAML reads `{written}`{reading}"
    fix = "write an expression, such as `ce`"
    if reading:
        fix = QUOTED[form]
    elif form != "Python":
        fix += ", or remove the key"
    return Diagnostic("", message, span, fix=fix)


CONVERTED = {
    "bytes": "decode them: `text.decode()`",
    "path": "hand over what the file says: `Path(...).read_text()`",
}


@mistake("E409", example="loss: 0.5\n", repair="loss: 0.5*ce\n", form="yaml")
def not_text(span: Span, key: str, kind: str, written: str, form: str) -> Diagnostic:
    """A key that should hold an expression holds a number, a truth value or a date.

    An expression is text. YAML reads `0.5` as a number, `no` and `on` as truth values and
    `2026-01-31` as a date. In Python the same is said of bytes, a path, or any other object.
    """
    fix = CONVERTED.get(kind, "write an expression, such as `0.5*ce`")
    if kind == "number":
        fix += (
            f"; a constant is `'{written}'`"
            if form in ("YAML", "Python")
            else f'; a constant is `"{written}"`'
        )
    article = "" if kind == "bytes" else "an " if kind[0] in "AEIOaeio" else "a "
    return Diagnostic("", f"`{key}` holds {article}{kind}, not an expression: `{written}`", span, fix=fix)


@mistake(
    "E410",
    example="loss:\n  _target_: torch.nn.CrossEntropyLoss\n",
    repair="loss: ce\n",
    form="yaml",
)
def foreign(span: Span, key: str, builds: str, form: str = "YAML", respelled: str = "") -> Diagnostic:
    """A key that should hold an expression builds an object of another library.

    A mapping with `_target_` is an instruction for Hydra, one with `class_path` for LightningCLI, a value
    with a tag (`!Dice`) one for the program that loads the file. They are left alone beside expressions in
    the same file and in a folder that is checked as a whole; they are reported when `--key` asks for them
    or when a file that is named holds nothing else.

    The keys beside it are translated as those of a call are (E140).

    A mapping whose target is losslang's own, such as `losslang.compile`, is read: its `text` is the
    expression.
    """
    name = builds.rpartition(".")[2].removeprefix("!")
    fix = respelled or (f"here it is spelled `{spelled(name)}`" if spelled(name) else "")
    if builds.startswith("losslang."):
        fix = "Hydra builds it, `hydra.utils.instantiate(config)`; `losslang.compile` takes its `text`"
    elif not fix:
        fix = "write the loss as an expression, such as `ce + dice`"
    if not key:
        fix += ", as the `text` beside `_target_: losslang.compile`"
    if form != "Python":
        fix += "; or leave the file out"
    what = f"`{key}`" if key else "this file"
    return Diagnostic("", f"{what} builds `{builds}`, and is not an expression", span, fix=fix)


@mistake("E411", example="loss = '${w}*ce'\n", repair="loss = 'w = 0.5; w*ce'\n", form="toml")
def interpolation(span: Span, written: str, *, composed: bool = False) -> Diagnostic:
    """An OmegaConf interpolation that nobody resolves.

    OmegaConf reads YAML alone, so nobody fills in `${...}` in TOML, JSON or a `.loss` file. In a YAML file
    `${a.b}` and `${.b}` are filled in where the file itself answers them; what another file may answer is
    W420. In a config that is piped in, nothing else can answer. A number that is bound to a name can be set
    from outside just as well: `--set w=0.5`, or `compile(text, overrides={"w": 0.5})`.
    """
    shown = written if len(written) <= 40 else written[:36] + "..."
    fix = (
        "write the value here; a number with a name, `w = 0.5; w*ce`, is set from outside with `--set w=0.5`"
    )
    if composed:
        fix = "write the value, or let OmegaConf fill it in: `python train.py --cfg job --resolve`"
    return Diagnostic(
        "",
        f"`{shown}` is an unresolved interpolation",
        span,
        caret="nothing in this config answers it" if composed else "not known before the program runs",
        fix=fix,
    )


@mistake(
    "E412",
    example="loss: >\n  ce # the main term\n  + dice\n",
    repair="loss: |\n  ce # the main term\n  + dice\n",
    form="yaml",
)
def swallowed(span: Span, rest: Span, form: str) -> Diagnostic:
    """A comment swallows the lines below it.

    A YAML value that is plain, quoted or a `>` block loses its line breaks before losslang sees
    it, and so does a line of TOML that ends in a backslash. A comment goes to the end of its line,
    and without breaks there is only one. A `|` block keeps them.
    """
    fix = "end the line above without `\\`" if form == "TOML" else "write the value as a `|` block"
    return Diagnostic(
        "",
        f"this comment goes on in the next line, because {form} has joined the two",
        span,
        caret="the comment starts here",
        labels=(Label(rest, "and takes this with it"),),
        why="what the comment takes would not be trained on",
        fix=f"{fix}, or move the comment to the end",
    )


@mistake("W401", example="loss: ce # + dice\n", repair="loss: ce + dice\n", form="yaml")
def cut(span: Span, key: str, tail: str) -> Diagnostic:
    """YAML may have cut an expression at ` #`.

    In a value without quotes, a blank and `#` begin a comment of YAML. What follows here reads like
    a part of the expression, and it is not trained on. Ordinary words after `#` are no reason for
    this warning.
    """
    return Diagnostic(
        "",
        f"`{key}` ends at ` #`: YAML reads `{tail}` as a comment",
        span,
        caret="looks like a part of the expression",
        why="it is not trained on",
        fix="quote the value, or write it as a `|` block; a comment that is meant goes on a line of its own",
    )
