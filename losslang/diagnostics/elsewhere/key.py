"""The form in which names are compared."""

from __future__ import annotations


def bare(name: str) -> str:
    """A name without letter case and underscores."""
    return name.lower().replace("_", "").replace("-", "")


def key(name: str) -> str:
    """A name without letter case, underscores and a `loss` at its end."""
    return bare(name).removesuffix("loss") or bare(name)
