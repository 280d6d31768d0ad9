"""Mistakes: one named function for every mistake that losslang reports, with its page.

A function says what is wrong in the user's words; its docstring is the page that
`losslang explain CODE` prints; its example and repair are run by a test. Codes by hundreds: E0 text,
E1 names, E2 options, E3 meaning, E4 files and configs, E5 tensors at run time, W warnings.
A code is never used again for something else.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pkgutil import iter_modules
from typing import Literal, NamedTuple, ParamSpec

from losslang.diagnostics.diagnostic import Diagnostic

Build = ParamSpec("Build")
Form = Literal["program", "yaml", "toml", "json", "python"]


class Page(NamedTuple):
    """The page that `losslang explain CODE` prints. `form` is the format of example and repair."""

    code: str
    title: str
    text: str
    example: str
    repair: str
    form: Form = "program"

    def __str__(self) -> str:
        parts = [f"{self.code}: {self.title}"]
        if self.text:
            parts.append(self.text)
        parts.append("Instead of\n\n" + _indented(self.example))
        parts.append("write\n\n" + _indented(self.repair))
        return "\n\n".join(parts)


def _indented(text: str) -> str:
    return "\n".join("    " + line for line in text.rstrip("\n").split("\n"))


PAGES: dict[str, Page] = {}


def mistake(
    code: str, *, example: str, repair: str, form: Form = "program"
) -> Callable[[Callable[Build, Diagnostic]], Callable[Build, Diagnostic]]:
    """Registers the page of a mistake and stamps its code on what the function returns."""

    def register(describe: Callable[Build, Diagnostic]) -> Callable[Build, Diagnostic]:
        title, _, text = inspect.cleandoc(describe.__doc__ or "").partition("\n\n")
        if code in PAGES:
            raise ValueError(f"{code} is already {PAGES[code].title!r}")
        PAGES[code] = Page(code, title.rstrip("."), text, example, repair, form)

        def stamped(*args: Build.args, **kwargs: Build.kwargs) -> Diagnostic:
            return replace(describe(*args, **kwargs), code=code)

        return stamped

    return register


def page(code: str) -> Page | None:
    """The page of a code, in any letter case."""
    for family in iter_modules(__path__):
        import_module(f"{__name__}.{family.name}")
    return PAGES.get(code.upper())


def pages() -> tuple[Page, ...]:
    """All pages, sorted by code."""
    page("")
    return tuple(PAGES[code] for code in sorted(PAGES))
