"""E42: settings that a config gives to a program."""

from __future__ import annotations

import re

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.mistakes import mistake
from losslang.diagnostics.source import Span

A_NUMBER = re.compile(r"[-+]?(\d+|(\d[\d_]*)?\.[\d_]*(e[-+]\d+)?)", re.IGNORECASE)
"""A number as YAML 1.1 reads one."""


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
        fix=f"write `{number}`" + (", without quotes" if quoted else f": PyYAML reads `{written}` as a text"),
    )
