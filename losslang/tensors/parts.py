"""Parts of what stands where a tensor is read: mappings, records and lists, and how a path goes on to them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, TypeGuard, cast

from losslang.tensors.lazy import torch
from losslang.vocabulary import RESERVED, ROOTS

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

A_PATH = re.compile(rf"({'|'.join(ROOTS)})\b(?!\s*=)")
"""The start of a path, not of an option of that name."""
OWN_PATH = re.compile(r"\b(pred|target)\b(?!\s*=)")
"""A path that a head would change."""
A_HEAD = re.compile(r"@[\w.\[\]:]+")
SHOWN = 3
"""Parts that a repair names at most."""


def field_names(value: Any) -> tuple[str, ...]:
    """Returns the field names of a named tuple or a dataclass; attributes of other objects are not read."""
    if isinstance(value, tuple):
        return tuple(getattr(cast("Any", value), "_fields", ()))
    return tuple(f.name for f in fields(value)) if _is_record(value) else ()


def _is_record(value: Any) -> TypeGuard[DataclassInstance]:
    return is_dataclass(value) and not isinstance(value, type)


def kind(value: Any) -> str:
    """Returns what a value is, in words."""
    if isinstance(value, torch.Tensor):
        return f"a tensor {tuple(value.shape)}"
    if isinstance(value, (list, tuple)):
        items = cast("Sequence[Any]", value)
        return f"a {type(items).__name__} of {len(items)}"
    name = type(value).__name__
    return "None" if value is None else f"{'an' if name[0] in 'aeioAEIO' else 'a'} {name}"


def accesses(value: Any) -> list[str]:
    """Returns how a path goes on to the tensors of a value, `.key` or `[0]`: to numbers if it has no others."""
    inside: Iterable[tuple[str, Any]] = ()
    if isinstance(value, Mapping):
        named = cast("Mapping[Any, Any]", value).items()
        inside = ((f".{k}", v) for k, v in named if isinstance(k, str) and k.isidentifier() and k.isascii())
    elif names := field_names(value):
        inside = ((f".{name}", getattr(value, name)) for name in names)
    elif isinstance(value, (list, tuple)):
        inside = ((f"[{i}]", v) for i, v in enumerate(cast("Sequence[Any]", value)))
    tensors = [(access, part.ndim) for access, part in inside if isinstance(part, torch.Tensor)]
    # A 0-d tensor beside larger ones is a loss that the model has computed itself.
    return [access for access, rank in tensors if rank] or [access for access, _ in tensors]


def naming(
    value: Any, text: str, behind: str, operand: str, paths: Mapping[str, str], *, is_below: bool
) -> str:
    """Returns the repair of a value that holds tensors where one is read: the term with a path to one of them.

    `text` is the term or the path that reads it, `behind` what follows in the program; `paths` are the paths
    of the operands that are handed over by position, `is_below` says that they stand below a head.
    """
    found = [_written(access, text, behind, operand, paths, is_below=is_below) for access in accesses(value)]
    if found:
        return "name the one that it reads: " + ", or ".join(f"`{one}`" for one in found[:SHOWN])
    if isinstance(value, Mapping) and value:
        first = next(iter(cast("Mapping[Any, Any]", value)))
        return (
            f"hand over a part of it under a key that is a name, or the part itself: `{operand}[{first!r}]`"
        )
    return "hand over a tensor"


def _written(
    access: str, text: str, behind: str, operand: str, paths: Mapping[str, str], *, is_below: bool
) -> str:
    """Returns a term, or a path, that reads a part of what it read before."""
    if operand not in paths or A_PATH.match(text):
        return f"{text if A_PATH.match(text) else operand}{access}"
    head, key = A_HEAD.match(behind), access.removeprefix(".")
    is_simple = is_below or list(paths.values())[:2] in (["pred", "target"], ["pred"])
    is_named = access.startswith(".") and (head is not None or key not in RESERVED)
    if operand == "pred" and is_simple and is_named and not OWN_PATH.search(text) and behind[:2] != "@(":
        return f"{text}{head[0]}{access}" if head is not None else f"{text}@{key}"
    # Inside of a group that a head is behind, `pred` and `target` are what the head reads.
    is_inside = is_below and behind[:1] != "@"
    own = {name: name if is_inside and name in ROOTS else path for name, path in paths.items()}
    own[operand] += access
    return f"{text}@({', '.join(own.values())})"


def leading(value: Any, text: str, so_far: str, step: str, rest: int) -> str:
    """Returns the repair of a path, or a head, whose `step` finds nothing in what stands at `so_far`.

    `text` is the path or the head as it is written, and `rest` how many of its steps are left over.
    """
    is_head = A_PATH.match(text) is None
    kept = "".join(re.findall(r"\[[^\]]*\]|\.?\w+", text)[: -rest or None]) if is_head else so_far
    written = f"@{text}" if is_head else text
    if isinstance(value, torch.Tensor):
        if ":" in step:
            return "a slice takes channels, axis 1 of a tensor of two or more axes: hand over such a tensor"
        if step.startswith("["):
            at = int(step.strip("[]"))
            return f"channels of a tensor are a slice: `[{at}:{at + 1 or ''}]`"
        fix = (
            f"write `{'@' if is_head else ''}{kept}` in place of `{written}`"
            if kept
            else f"leave out `{written}`"
        )
        return f"{fix}; or hand over a mapping: `{{'{step.removeprefix('.')}': ...}}`"
    found = accesses(value)
    if isinstance(value, (list, tuple)) and not field_names(value):
        if step.startswith("[") and ":" not in step and value:
            return f"its elements are `[0]` to `[{len(cast('Sequence[Any]', value)) - 1}]`"
        if not found:
            return "hand over a list that holds it" if value else "hand over what is not empty"
    if found:
        part = f"{so_far}{found[0]}"
        instead = f"@({part}, target)" if is_head and so_far == "pred" else part
        return f"write `{instead}` in place of `{written}`"
    name = step.removeprefix(".")
    if step.startswith("[") or value is None:
        return "change the path, or what the call hands over"
    return f"parts of mappings, named tuples and dataclasses are read: hand over `{{'{name}': x.{name}}}` in place of `x`"
