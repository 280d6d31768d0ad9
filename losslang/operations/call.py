"""What a call hands over: values at paths, as tensors of numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, cast

from losslang import tree
from losslang.formatter import access
from losslang.formatter import path as spell
from losslang.lazy import torch
from losslang.mistakes import tensors
from losslang.targets import Site
from losslang.vocabulary import Tensor


def fetch(root: Any, path: tree.Path, soft: bool, site: Site) -> Any:
    """The value at a path; a `soft` path ends where it meets a tensor."""
    value = root
    for i, step in enumerate(path.steps):
        if soft and isinstance(value, torch.Tensor):
            return value
        value = _enter(value, step, tree.Path(root=path.root, steps=path.steps[:i]), site)
    if value is None and not path.steps:
        raise site.error(tensors.missing_input(site.span, path.root, path.root, ("pred",)))
    return value


def _enter(value: Any, step: tree.Access, so_far: tree.Path, site: Site) -> Any:
    match step:
        case tree.Key(name):
            if isinstance(value, Mapping):
                entries = cast("Mapping[str, Any]", value)
                if name in entries:
                    return entries[name]
                known = tuple(map(str, entries))
            else:
                known = _field_names(value)
                if name in known:
                    return getattr(value, name)
            if known or isinstance(value, Mapping):
                path = f"{spell(so_far)}.{name}"
                raise site.error(tensors.missing_input(site.span, path, name, known))
        case tree.Index(position):
            if isinstance(value, list | tuple):
                items = cast("Sequence[Any]", value)
                if -len(items) <= position < len(items):
                    return items[position]
        case tree.Slice(start, stop):
            if isinstance(value, torch.Tensor) and value.ndim > 1:
                return value[:, start:stop]
            if isinstance(value, list | tuple):
                return cast("Sequence[Any]", value)[start:stop]
    found = _kind(value)
    raise site.error(tensors.no_way_into(site.span, spell(so_far), access(step), found))


def _field_names(value: Any) -> tuple[str, ...]:
    """The names of the parts of a named tuple or a dataclass; nothing else has attributes here."""
    if isinstance(value, tuple):
        return tuple(getattr(cast("Any", value), "_fields", ()))
    kind = cast("Any", type(value))
    return tuple(f.name for f in fields(kind)) if is_dataclass(kind) else ()


def _kind(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"a tensor {tuple(value.shape)}"
    if isinstance(value, list | tuple):
        return f"a {type(value).__name__} of {len(cast('Sequence[Any]', value))}"
    return "None" if value is None else f"a {type(value).__name__}"


def complete(root: Any, path: tree.Path, read: Sequence[str], site: Site) -> None:
    """Refuses scalars of a mapping of losses that no term reads."""
    owner = fetch(root, path, False, site)
    if isinstance(owner, Mapping):
        entries = cast("Mapping[str, Any]", owner)
        unread = [
            str(name)
            for name, value in entries.items()
            if name not in read and isinstance(value, torch.Tensor) and value.ndim == 0
        ]
        if unread:
            raise site.error(tensors.unread_losses(site.span, spell(path), tuple(unread)))


def real(value: Any, site: Site, last: int | None = None) -> Tensor:
    """A prediction: a float tensor, in float32 at least."""
    if not isinstance(value, torch.Tensor):
        keys = tuple(map(str, cast("Mapping[str, Any]", value))) if isinstance(value, Mapping) else ()
        wrong = tensors.not_a_tensor(site.span, site.term, site.operand, _kind(value), keys)
        raise site.error(wrong)
    if last is not None and (value.ndim == 0 or value.shape[-1] != last):
        raise site.mismatch(value, value, f"{last} numbers along the last axis", "move the axis to the end")
    if value.dtype in (torch.float32, torch.float64):
        return value
    if value.is_complex():
        raise site.type_error(value, "real numbers", "take `.real` or `.abs()`")
    return value.float()


def scalar(value: Any, site: Site) -> Any:
    """One number: a Python one, or a tensor of no dimensions."""
    if not isinstance(value, torch.Tensor):
        if isinstance(value, int | float):
            return float(value)
        raise site.error(tensors.not_a_tensor(site.span, site.term, site.operand, _kind(value), ()))
    if value.numel() != 1:
        raise site.error(tensors.not_scalar(site.span, site.term, tuple(value.shape)))
    value = value.reshape(())
    return value if value.dtype in (torch.float32, torch.float64) else value.float()
