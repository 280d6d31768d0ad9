"""The pydantic field type LossExpr: a loss in a typed config."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

from losslang.meaning.checker import check


def _checked(text: Any) -> Any:
    """A text that is a program without errors. Raises an error of pydantic for any other value, with the report."""
    # The renderer is loaded where there is something to render.
    from losslang.diagnostics.rendering import full

    errors = [diagnostic for diagnostic in check(text) if diagnostic.is_error]
    if errors:
        report = "\n\n".join(full(diagnostic) for diagnostic in errors)
        raise PydanticCustomError("loss", "not a valid loss\n{report}\n", {"report": report})
    return text


LossExpr = Annotated[str, BeforeValidator(_checked)]
"""A string that is a program without errors; any other value fails the validation with its full report."""
