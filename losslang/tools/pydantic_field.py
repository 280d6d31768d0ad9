"""The pydantic field type LossExpr: a loss in a typed config."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from losslang.diagnostics.errors import LossError
from losslang.meaning.checker import check


def _checked(text: str) -> str:
    """A text that is a program without errors. Raises LossError for any other."""
    errors = [diagnostic for diagnostic in check(text) if diagnostic.is_error]
    if errors:
        raise LossError(errors)
    return text


LossExpr = Annotated[str, AfterValidator(_checked)]
"""A string that is a program without errors; a wrong one fails the validation with its full report."""
