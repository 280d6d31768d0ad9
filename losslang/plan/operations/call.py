"""Reads the arguments of a call: values at paths, checked and converted to tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from losslang.diagnostics.errors import LossError
from losslang.diagnostics.mistakes import inputs, tensors
from losslang.meaning.layout import BY_RANK, channel_axis
from losslang.meaning.meaning import Input
from losslang.plan.plan import Plan
from losslang.syntax import tree
from losslang.syntax.formatter import access
from losslang.tensors.lazy import torch
from losslang.tensors.parts import field_names, kind, leading
from losslang.tensors.repairs import boxes
from losslang.tensors.subclasses import is_dressed, undressed
from losslang.tensors.targets import Site
from losslang.vocabulary import Head, Tensor


def fetch(root: Any, path: Input, site: Site, channel: int = 1, may_miss: bool = False) -> Any:
    """Returns the value at a path.

    A `soft` path ends at the first tensor; a slice is along the `channel` axis. What `may_miss` is None where
    the call does not have it.
    """
    value: Any = root
    for depth, step in enumerate(path.steps):
        if path.soft and isinstance(value, torch.Tensor):
            return value
        if isinstance(step, tree.Key) and _has(value, step.name):
            value = value[step.name]
        elif isinstance(step, tree.Key) and step.name in field_names(value):
            value = getattr(value, step.name)
        elif isinstance(step, tree.Slice) and isinstance(value, torch.Tensor) and value.ndim > 1:
            value = _channels(value, step, channel, path, depth, site)
        elif isinstance(step, tree.Slice) and isinstance(value, (list, tuple)):
            _within(step, len(cast("Sequence[Any]", value)), value, path, depth, site)
            value = cast("Sequence[Any]", value)[step.start : step.stop]
        elif isinstance(step, tree.Index) and _holds(value, step.position):
            value = value[step.position]
        elif may_miss:
            return None
        else:
            raise _no_way(value, path, depth, site)
    if value is None and not may_miss:
        last = path.steps[-1] if path.steps else None
        key = last.name if isinstance(last, tree.Key) else path.root
        before = site.source.text[: site.span.start].rstrip(" =")
        option = next((name for name in ("mask", "weight") if before.endswith(name)), "")
        raise site.error(inputs.missing_input(site.span, str(path), key, None, option))
    return value


def _channels(value: Tensor, step: tree.Slice, channel: int, path: Input, depth: int, site: Site) -> Tensor:
    """Slices the channels of a tensor; refuses one of rank 3 whose channel axis nothing says."""
    if channel == BY_RANK and value.ndim == 3:
        raise site.error(inputs.which_axis(site.span, str(path), tuple(value.shape)))
    axis = channel_axis(channel, value.ndim)
    _within(step, value.shape[axis], value, path, depth, site)
    before = (slice(None),) * (axis % value.ndim)
    # A subclass may slice what it says of a tensor too, or refuse.
    return undressed(value)[(*before, slice(step.start, step.stop))]


def is_foreign(value: Any) -> bool:
    """Returns whether `as_tensor` converts a value.

    That is an array, a list of numbers, unsigned labels, or a tensor of a subclass such as MetaTensor.
    """
    return (
        is_dressed(value) or _is_unsigned(value) if isinstance(value, torch.Tensor) else holds_numbers(value)
    )


def _is_unsigned(value: Tensor) -> bool:
    return value.dtype in (torch.uint16, torch.uint32, torch.uint64)


def holds_numbers(value: Any) -> bool:
    """Returns whether a value is an array of numbers, or a list of numbers or of equally long such lists."""
    if isinstance(value, (list, tuple)):
        return _sizes(value) is not None
    is_array = not isinstance(value, (int, float)) and hasattr(value, "__array__")
    return is_array and getattr(getattr(value, "dtype", None), "kind", "") in tuple("biuf")


def _sizes(value: Any) -> tuple[int, ...] | None:
    """Returns the shape of nested lists of numbers; None if they are ragged or hold anything else."""
    if isinstance(value, (int, float)):
        return ()
    if not isinstance(value, (list, tuple)) or not value:
        return None
    inside = {_sizes(item) for item in cast("Sequence[Any]", value)}
    first = inside.pop()
    return None if inside or first is None else (len(cast("Sequence[Any]", value)), *first)


def as_tensor(value: Any, like: Tensor | None = None) -> Any:
    """Converts a value to a tensor on the device of `like`, if `is_foreign` says so.

    Returns others as they are.

    Fractions of a list become float64 if `like` is. Unsigned labels of 16 to 64 bits become int64: torch has
    almost no operations for them. A tensor of a subclass becomes a plain view of it.
    """
    if isinstance(value, torch.Tensor):
        value = undressed(value)
    elif holds_numbers(value):
        value = torch.tensor(value if isinstance(value, (list, tuple)) else _plain(value), **_as(value, like))
    else:
        return value
    return value.long() if _is_unsigned(value) else value


def _plain(array: Any) -> Any:
    """Copies an array to a type that torch can read: native byte order, at most 64 bits."""
    kind = (
        "float64" if array.dtype.kind == "f" and array.dtype.itemsize > 8 else array.dtype.newbyteorder("=")
    )
    return array.astype(kind) if array.ndim else array.astype(kind).item()


def _as(value: Any, like: Tensor | None) -> dict[str, Any]:
    """Returns device and type of the tensor that an array or a list becomes; no type if it keeps its own."""
    given = {} if like is None else {"device": like.device}
    in_double = like is not None and like.dtype == torch.float64 and isinstance(value, (list, tuple))
    return (
        {**given, "dtype": torch.float64} if in_double and torch.tensor(value).is_floating_point() else given
    )


def refuse_unreadable(plan: Plan, values: Sequence[Any]) -> None:
    """Refuses sparse and nested inputs, and single numbers on another device than the prediction's.

    torch computes with such a number without an error.
    """
    for site, value in _placed(plan, values):
        kind = "nested" if value.is_nested else str(value.layout).removeprefix("torch.").strip("_")
        if kind != "strided":
            raise site.error(inputs.wrong_layout(site.span, site.term, site.operand, kind))
    _refuse_devices(_placed(plan, values), lambda value: value.numel() == 1 and not value.is_cpu)


def refuse_mixed(plan: Plan, values: Sequence[Any], error: RuntimeError) -> None:
    """Turns an error of torch into a LossError if nested tensors or several devices explain it."""
    try:
        refuse_unreadable(plan, values)
        _refuse_devices(_placed(plan, values), lambda _: True)
    except LossError as refused:
        raise refused from error


def _placed(plan: Plan, values: Sequence[Any]) -> list[tuple[Site, Tensor]]:
    """Returns the tensors among the inputs of a plan, each with its site."""
    pairs = zip(plan.inputs, values, strict=True)
    return [(s.site, value) for s, value in pairs if s.site is not None and isinstance(value, torch.Tensor)]


def _refuse_devices(placed: Sequence[tuple[Site, Tensor]], is_meant: Callable[[Tensor], bool]) -> None:
    """Refuses tensors that are not on the device of the prediction."""
    homes = {value.device for site, value in placed if site.operand.startswith("pred")}
    for site, value in placed:
        if len(homes) == 1 and value.device not in homes and is_meant(value):
            devices = str(value.device), str(homes.pop())
            raise site.error(tensors.devices_differ(site.span, site.term, site.operand, *devices))


def _has(value: Any, name: str) -> bool:
    # `type(value) is dict` first: isinstance(value, Mapping) takes longer, in every call.
    return (type(value) is dict or isinstance(value, Mapping)) and name in value


def _holds(value: Any, position: int) -> bool:
    if not isinstance(value, (list, tuple)):
        return False
    number = len(cast("Sequence[Any]", value))
    return -number <= position < number


def _within(step: tree.Slice, size: int, value: Any, path: Input, depth: int, site: Site) -> None:
    """Raises LossError for a slice that reaches beyond the axis, or is empty."""
    first, last = (None if end is None else end + size if end < 0 else end for end in step)
    first, last = 0 if first is None else first, size if last is None else last
    if not 0 <= first < last <= size:
        so_far, what = str(Input(path.root, path.steps[:depth])), "elements"
        if isinstance(value, torch.Tensor):
            what = "channels"
        fix = f"it has {size} {what}"
        if 0 <= first < size <= last:
            fix += f": from {first} to the last it is `{access(tree.Slice(step.start, None))}`"
        elif size:
            fix += f": the first is `[0:1]`, the last `[{size - 1}:]`"
        raise site.error(inputs.no_way_into(site.span, so_far, access(step), kind(value), fix))


def _no_way(value: Any, path: Input, depth: int, site: Site) -> LossError:
    """Returns the error of a path whose step at `depth` finds nothing."""
    so_far, step = Input(path.root, path.steps[:depth]), path.steps[depth]
    known = field_names(value)
    if isinstance(value, Mapping):
        known = tuple(map(str, cast("Mapping[str, Any]", value)))
    if isinstance(step, tree.Key) and (known or isinstance(value, Mapping)):
        return site.error(inputs.missing_input(site.span, f"{so_far}.{step.name}", step.name, known))
    text, rest = site.source.text[slice(*site.span)], len(path.steps) - depth
    fix = leading(value, text, str(so_far), access(step), rest)
    return site.error(inputs.no_way_into(site.span, str(so_far), access(step), kind(value), fix))


def complete(root: Any, path: Input, read: Sequence[str], site: Site) -> None:
    """Refuses a mapping of losses with scalars that no term reads."""
    owner = fetch(root, path, site)
    if isinstance(owner, Mapping):
        entries = cast("Mapping[str, Any]", owner)
        unread = [
            str(name)
            for name, value in entries.items()
            if name not in read and isinstance(value, torch.Tensor) and value.ndim == 0
        ]
        if unread:
            raise site.error(inputs.unread_losses(site.span, str(path), tuple(unread)))


def float_prediction(value: Any, site: Site, last: int | None = None) -> Tensor:
    """Returns a prediction as floats, in float32 at least."""
    value = hidden(value, site, last)
    return value if value.dtype in (torch.float32, torch.float64) else value.float()


def hidden(value: Any, site: Site, last: int | None = None) -> Tensor:
    """Checks that a prediction is a float tensor, and returns it in its own precision."""
    if value is None:
        raise site.error(inputs.missing_input(site.span, site.operand, site.operand, None))
    if not isinstance(value, torch.Tensor):
        raise site.no_tensor(value)
    if last is not None and (value.ndim == 0 or value.shape[-1] != last):
        wanted, fix = f"{last} numbers along its last axis", boxes(value, last)
        raise site.error(tensors.wrong_prediction(site.span, site.term, tuple(value.shape), wanted, fix))
    if value.is_complex():
        raise site.type_error(value, "real numbers", "take `.real` or `.abs()`")
    if not value.dtype.is_floating_point:
        raise site.type_error(
            value, "floats", "hand over `pred.float()`; or are prediction and target swapped?"
        )
    return value


def number(value: Any, kind: str) -> Any:
    """Converts booleans and integers for arithmetic: to int64, which does not overflow, or to floats."""
    if not isinstance(value, torch.Tensor) or value.is_floating_point() or value.is_complex():
        return value
    return value.to(torch.get_default_dtype() if kind == "float" else torch.long)


def head(value: Any, pred: Tensor, site: Site) -> Head:
    """Returns the last layer over hidden states (*B, D), given as a linear module or as a weight (C, D)."""
    if isinstance(value, torch.nn.Linear):
        weight, bias = as_tensor(value.weight), as_tensor(value.bias)
    else:
        weight, bias = value, None
    shape = tuple(pred.shape)
    if not isinstance(weight, torch.Tensor) or weight.ndim != 2 or weight.shape[1:] != pred.shape[-1:]:
        fix = "hand over the layer that reads these hidden states, or its `.weight`"
        if isinstance(weight, torch.Tensor) and weight.ndim == 2 and weight.shape[:1] == pred.shape[-1:]:
            fix = "it is transposed: hand over its `.T`"
        found = kind(weight)
        raise site.error(tensors.wrong_head(site.span, site.term, site.operand, found, shape, fix))
    if not weight.dtype.is_floating_point:
        raise site.type_error(weight, "floats", "convert it with `.float()`")
    if weight.device != pred.device:
        devices = str(weight.device), str(pred.device)
        raise site.error(tensors.devices_differ(site.span, site.term, site.operand, *devices))
    return Head(weight, bias)


def net(value: Any, pred: Tensor, site: Site) -> Any:
    """Returns a network: a module, or any function of tensors."""
    if not callable(value):
        raise site.error(inputs.not_a_network(site.span, site.term, site.operand, kind(value)))
    return value


def matching(held: Mapping[str, Sequence[Tensor]], site: Site, match: str) -> list[Tensor]:
    """Returns the parameters that a pattern matched at compile time, each in float32 at least."""
    if match not in held:
        raise site.error(inputs.no_parameters(site.span, site.term))
    plain = map(undressed, held[match])
    return [value if value.dtype == torch.float64 else value.float() for value in plain]


def scalar(value: Any, site: Site) -> Any:
    """Returns one number: a float, or a 0-d tensor in float32 at least."""
    if not isinstance(value, torch.Tensor):
        if isinstance(value, (int, float)):
            return float(value)
        raise site.no_tensor(value)
    if value.numel() != 1:
        raise site.error(
            inputs.not_scalar(site.span, site.term, tuple(value.shape), site.operand, site.option)
        )
    value = value.reshape(())
    return value if value.dtype in (torch.float32, torch.float64) else value.float()
