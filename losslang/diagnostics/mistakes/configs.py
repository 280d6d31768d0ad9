"""E42, W42: configs that build a loss, and settings and parts of a program that stand elsewhere in them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, cast

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.elsewhere import nearest
from losslang.diagnostics.mistakes import mistake
from losslang.diagnostics.source import Span

COMPOSED = "`python train.py --cfg job --resolve | losslang check - --format yaml`"
"""How the config of a Hydra program is checked as it runs."""
A_NUMBER = re.compile(r"[-+]?(\d+|(\d[\d_]*)?\.[\d_]*(e[-+]\d+)?)", re.IGNORECASE)
"""A number as YAML 1.1 reads one."""


@mistake("E420", example="loss:\n  _target_: losslang.complie\n  text: ce\n",
         repair="loss:\n  _target_: losslang.compile\n  text: ce\n", form="yaml")  # fmt: skip
def misspelled_target(span: Span, name: str, known: Sequence[str]) -> Diagnostic:
    """A target of Hydra or LightningCLI that is nearly losslang's.

    `_target_: losslang.compile` with `text:` (Hydra), or `class_path: losslang.compile` with `init_args:`
    (LightningCLI), builds a loss. The text and its `overrides:` are checked.
    """
    near = (*get_close_matches(name, known, n=1, cutoff=0.9), known[0])[0]
    return Diagnostic("", f"`{name}` builds no loss", span, caret="unknown target", fix=f"write `{near}`")


@mistake("E421", example='read("<stdin>", "loss: {_target_: losslang.compile}", suffix=".yaml")',
         repair='read("<stdin>", "loss: {_target_: losslang.compile, text: ce}", suffix=".yaml")', form="python")  # fmt: skip
def no_text(span: Span, name: str) -> Diagnostic:
    """A composed config that builds a loss of no text.

    In one file of many the `text` may stand in another. A config that is piped in is whole.
    """
    return Diagnostic(
        "", f"`{name}` builds a loss, and has no `text`", span, fix="add the expression: `text: ce + dice`"
    )


@mistake("E422", example="loss: {_target_: losslang.compile, text: ce, overides: {ce.weight: 2}}\n",
         repair="loss: {_target_: losslang.compile, text: ce, overrides: {ce.weight: 2}}\n", form="yaml")  # fmt: skip
def unknown_argument(span: Span, name: str, known: Sequence[str]) -> Diagnostic:
    """An argument that `losslang.compile` does not take, in a config that builds a loss.

    It would be a TypeError in the middle of a run. docs/api.md lists the arguments.
    """
    near = nearest(name, known)
    fix = (
        f"did you mean `{near}`?" if near else f"it takes {', '.join(f'`{argument}`' for argument in known)}"
    )
    return Diagnostic("", f"`losslang.compile` has no argument `{name}`", span, caret="unknown", fix=fix)


@mistake("E423", form="python", example="losslang.compile('w = 0.5; w*ce', overrides={'w': '1e-5'})",
         repair="losslang.compile('w = 0.5; w*ce', overrides={'w': 1.0e-5})")  # fmt: skip
def text_for_number(span: Span, name: str, written: str, number: str) -> Diagnostic:
    """A setting from outside is a text that looks like a number.

    A value in quotes is a text. PyYAML also reads `1e-5` as one: a number of YAML 1.1 has a dot, and a sign
    behind the `e`, as in `1.0e-5`. OmegaConf and jsonargparse read both.
    """
    quoted = A_NUMBER.fullmatch(written.strip())
    return Diagnostic(
        "",
        f"`{name}` is set to the text `{written}`, not to a number",
        span,
        caret="a text",
        fix=f"write `{number}`, without quotes" + ("" if quoted else f": PyYAML reads `{written}` as a text"),
    )


@mistake("E426", form="python", example="losslang.compile('w = 1; w*ce', overrides=['w=0.5'])",
         repair="losslang.compile('w = 1; w*ce', overrides={'w': 0.5})")  # fmt: skip
def no_mapping(span: Span, given: Any, in_file: bool = False) -> Diagnostic:
    """`overrides` are not a mapping of names to numbers, but a list as command lines have it, or one value."""
    texts = list(cast("Sequence[Any]", given)) if isinstance(given, (list, tuple)) else [given]
    pairs = [text.partition("=") for text in texts if isinstance(text, str) and text.count("=") == 1]
    values = {name.strip(): value.strip() for name, _, value in pairs if A_NUMBER.fullmatch(value.strip())}
    named = values if values and len(values) == len(texts) else {"ce.weight": "0.5"}
    quote = "" if in_file else "'"
    inside = ", ".join(f"{quote}{name}{quote}: {value}" for name, value in named.items())
    return Diagnostic(
        "",
        f"`overrides` is {_kind(given)}, not a mapping of names to numbers",
        span,
        fix=f"write `overrides{': ' if in_file else '='}{{{inside}}}`",
    )


def _kind(value: Any) -> str:
    return (
        "a list" if isinstance(value, (list, tuple)) else "a text" if isinstance(value, str) else f"`{value}`"
    )


@mistake(
    "W420",
    example="loss: ${weights.aux}*ce\n",
    repair="weights: {aux: 0.5}\nloss: ${weights.aux}*ce\n",
    form="yaml",
)
def filled_in_elsewhere(span: Span, written: str) -> Diagnostic:
    """An expression with a part that another file fills in.

    `${a.b}` and `${.b}` are filled in where the same file answers them. Where it does not, or a resolver such
    as `${oc.env:X}` is asked, the expression is known when the config is composed, and can be checked then.
    """
    shown = written if len(written) <= 40 else written[:36] + "..."
    return Diagnostic(
        "",
        f"`{shown}` is an unresolved interpolation, so this expression is not checked",
        span,
        caret="nothing in this file answers it",
        fix=f"check the composed config: {COMPOSED}; "
        "or give the number a name, `w = 0.5; w*ce`, and set it with `overrides: {w: ...}`",
    )


@mistake("E424", example='[tool.losslang]\nimports = ["my_loses"]\n', repair='[tool.losslang]\nimports = ["my_losses"]\n',
         form="toml")  # fmt: skip
def not_imported(name: str, reason: str) -> Diagnostic:
    """A module of the user that cannot be imported.

    `losslang check --import my_losses`, and `[tool.losslang]` with `imports = ["my_losses"]` in the
    pyproject.toml of the project, import modules that register losses with `losslang.loss`. Importing
    executes them, so a config that is checked can never ask for it. The folder where losslang runs is on the
    path, and so is the one of the pyproject.toml.
    """
    return Diagnostic(
        "",
        f"`{name}` cannot be imported: {reason}",
        Span(0, 0),
        fix="name a module that Python finds from here: `my_package.losses`, or `my_losses` beside pyproject.toml",
    )


@mistake("E425", example='[tool.losslang]\nimports = "my_losses"\n', repair='[tool.losslang]\nimports = ["my_losses"]\n',
         form="toml")  # fmt: skip
def bad_project(filename: str, reason: str) -> Diagnostic:
    """A pyproject.toml that does not say which modules to import.

    `[tool.losslang]` has one key, `imports`: a list of modules that register losses.
    """
    return Diagnostic(
        "",
        f"`{filename}` cannot be used: {reason}",
        Span(0, 0),
        fix='write `[tool.losslang]` and `imports = ["my_losses"]`',
    )
