"""Configs that build a loss of another library, in our words, with its options."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from numbers import Real
from typing import Any, cast

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.elsewhere import is_known, what_instead
from losslang.diagnostics.errors import LossError
from losslang.diagnostics.mistakes import python
from losslang.diagnostics.source import Source
from losslang.meaning import foreign
from losslang.meaning.uses.foreign_call import PACKAGES
from losslang.registry import current_registry
from losslang.syntax.program_text import source_of, target_in

OF_HYDRA = ("_target_", "_args_", "_convert_", "_recursive_", "_partial_")
"""Keys beside a `_target_` that are no arguments."""


def source_of_program(text: Any, filename: str = "<expression>") -> Source:
    """A program as a Source; raises LossError for a value that is no text, with the loss that a mapping builds."""
    try:
        return source_of(text, filename)
    except LossError as error:
        config = cast("Mapping[str, Any]", text)
        target = target_in(config) if isinstance(text, Mapping) else ""
        fix = respelled(target, _arguments(config)) if target else ""
        raise LossError([replace(d, fix=fix or d.fix) for d in error.diagnostics]) from None


A_FILE = re.compile(
    r"(?!.*(?<![\w/.])(?:pred|target|batch|const)\.)[^\s()*+=@,#;'\"]+\.(yaml|yml|toml|json|loss)",
    re.IGNORECASE,
)
"""The name of a file that holds expressions, which no expression looks like."""


def file_named(source: Source) -> tuple[Diagnostic, ...]:
    """The mistake of a text that is the name of a file; nothing for any other text with mistakes."""
    name = source.text.strip()
    found = A_FILE.fullmatch(name)
    return (python.a_file(source.whole, name, found[1].lower()).at(source),) if found else ()


def respelled(target: str, arguments: Iterable[tuple[str, str]]) -> str:
    """The repair of a target with its arguments as they are written; '' if it has none.

    It is that of the same call in an expression: `monai.losses.DiceLoss(softmax=true)`.
    """
    package, name = target.partition(".")[0], target.rpartition(".")[2]
    options = ", ".join(f"{name}={value}" for name, value in arguments if value and name not in OF_HYDRA)
    call = Source(f"{target}({options})")
    fix = foreign.respelled(call, len(target) - len(name), current_registry(), PACKAGES.get(package, ""))
    return fix or (what_instead(name, ()) if is_known(name) else "")


def is_loss(target: str) -> bool:
    """True for a target of another library that builds a loss, as its name tells."""
    package, _, name = target.rpartition(".")
    if "metric" in package.lower() or package.partition(".")[0] == "losslang":
        return False
    return name.lower().endswith("loss") or is_known(name)


def _arguments(config: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """The arguments beside a target, each as an expression writes it."""
    inside = config if "_target_" in config else config.get("init_args")
    if isinstance(inside, Mapping):
        for name, value in cast("Mapping[str, Any]", inside).items():
            yield str(name), _value(value)


def _value(value: Any) -> str:
    """A value as an expression writes it; '' for one that no option takes."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Real):
        return repr(value)
    if isinstance(value, str):
        return "" if "'" in value else f"'{value}'"
    if isinstance(value, Sequence):
        items = [_value(item) for item in cast("Sequence[Any]", value)]
        return f"[{', '.join(items)}]" if all(items) else ""
    return ""
