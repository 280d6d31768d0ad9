"""What a call hands over: values at paths, as tensors of numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, TypeGuard, cast

from losslang.diagnostics.errors import LossError
from losslang.diagnostics.mistakes import inputs, tensors
from losslang.meaning.layout import BY_RANK, channel_axis
from losslang.meaning.meaning import Input
from losslang.plan.plan import Plan
from losslang.syntax import tree
from losslang.syntax.formatter import access
from losslang.tensors.lazy import torch
from losslang.tensors.targets import Site

if TYPE_CHECKING:
    from _typeshed import DataclassInstance
from losslang.vocabulary import Head, Tensor


def fetch(root: Any, path: Input, site: Site, channel: int = 1) -> Any:
    """The value at a path; a `soft` path ends where it meets a tensor. A slice runs along the `channel` axis."""
    value: Any = root
    for depth, step in enumerate(path.steps):
        if path.soft and isinstance(value, torch.Tensor):
            return value
        if isinstance(step, tree.Key) and _has(value, step.name):
            value = value[step.name]
        elif isinstance(step, tree.Key) and step.name in _field_names(value):
            value = getattr(value, step.name)
        elif isinstance(step, tree.Slice) and isinstance(value, torch.Tensor) and value.ndim > 1:
            value = _channels(value, step, channel, path, depth, site)
        elif isinstance(step, tree.Slice) and isinstance(value, (list, tuple)):
            _within(step, len(cast("Sequence[Any]", value)), value, path, depth, site)
            value = cast("Sequence[Any]", value)[step.start : step.stop]
        elif isinstance(step, tree.Index) and _holds(value, step.position):
            value = value[step.position]
        else:
            raise _no_way(value, path, depth, site)
    if value is None:
        last = path.steps[-1] if path.steps else None
        key = last.name if isinstance(last, tree.Key) else path.root
        raise site.error(inputs.missing_input(site.span, str(path), key, ()))
    return value


def _channels(value: Tensor, step: tree.Slice, channel: int, path: Input, depth: int, site: Site) -> Tensor:
    """Some channels of a tensor. Of plain values (B, ?, ?) nothing says which axis they are."""
    if channel == BY_RANK and value.ndim == 3:
        raise site.error(inputs.which_axis(site.span, str(path), tuple(value.shape)))
    axis = channel_axis(channel, value.ndim)
    _within(step, value.shape[axis], value, path, depth, site)
    before = (slice(None),) * (axis % value.ndim)
    return value[(*before, slice(step.start, step.stop))]


def is_foreign(value: Any) -> bool:
    """Whether `as_tensor` makes another tensor of a value: arrays, lists of numbers, labels without a sign."""
    if isinstance(value, torch.Tensor):
        return value.dtype in (torch.uint16, torch.uint32, torch.uint64)
    return holds_numbers(value)


def holds_numbers(value: Any) -> bool:
    """Whether a value is an array of numbers, or a list of numbers, or of lists of equally many of them."""
    if isinstance(value, (list, tuple)):
        return _sizes(value) is not None
    is_array = not isinstance(value, (int, float)) and hasattr(value, "__array__")
    return is_array and getattr(getattr(value, "dtype", None), "kind", "") in tuple("biuf")


def _sizes(value: Any) -> tuple[int, ...] | None:
    """The sizes of nested lists of numbers; None if they are not all alike, or hold something else."""
    if isinstance(value, (int, float)):
        return ()
    if not isinstance(value, (list, tuple)) or not value:
        return None
    inside = {_sizes(item) for item in cast("Sequence[Any]", value)}
    first = inside.pop()
    return None if inside or first is None else (len(cast("Sequence[Any]", value)), *first)


def as_tensor(value: Any, like: Tensor | None = None) -> Any:
    """A value as a tensor that operations know, where `like` is; what `is_foreign` does not name stays as it is.

    Fractions of a list are read in double precision beside a prediction of double precision. torch has little more
    than a name for labels of 16 to 64 bits without a sign: they become those of 64 with one.
    """
    if not is_foreign(value):
        return value
    if not isinstance(value, torch.Tensor):
        value = torch.tensor(value if isinstance(value, (list, tuple)) else _plain(value), **_as(value, like))
    return value.long() if is_foreign(value) else value


def _plain(array: Any) -> Any:
    """A copy of an array that torch can read: in the order of bytes of this machine, at most 64 bits wide."""
    kind = (
        "float64" if array.dtype.kind == "f" and array.dtype.itemsize > 8 else array.dtype.newbyteorder("=")
    )
    return array.astype(kind) if array.ndim else array.astype(kind).item()


def _as(value: Any, like: Tensor | None) -> dict[str, Any]:
    """On which device a list or an array becomes a tensor, and in which precision if that is not its own."""
    given = {} if like is None else {"device": like.device}
    in_double = like is not None and like.dtype == torch.float64 and isinstance(value, (list, tuple))
    return (
        {**given, "dtype": torch.float64} if in_double and torch.tensor(value).is_floating_point() else given
    )


def refuse_unreadable(plan: Plan, values: Sequence[Any]) -> None:
    """Refuses inputs that are sparse or nested, and single numbers on another device than the prediction's.

    Of those torch would make a loss over there.
    """
    for site, value in _placed(plan, values):
        kind = "nested" if value.is_nested else str(value.layout).removeprefix("torch.").strip("_")
        if kind != "strided":
            raise site.error(inputs.wrong_layout(site.span, site.term, site.operand, kind))
    _refuse_devices(_placed(plan, values), lambda value: value.numel() == 1 and not value.is_cpu)


def refuse_mixed(plan: Plan, values: Sequence[Any], error: RuntimeError) -> None:
    """Says what may have made torch raise an error: nested tensors, or several devices."""
    try:
        refuse_unreadable(plan, values)
        _refuse_devices(_placed(plan, values), lambda _: True)
    except LossError as refused:
        raise refused from error


def _placed(plan: Plan, values: Sequence[Any]) -> list[tuple[Site, Tensor]]:
    """The tensors among the inputs of a plan, and where each is read."""
    pairs = zip(plan.inputs, values, strict=True)
    return [(s.site, value) for s, value in pairs if s.site is not None and isinstance(value, torch.Tensor)]


def _refuse_devices(placed: Sequence[tuple[Site, Tensor]], is_meant: Callable[[Tensor], bool]) -> None:
    """Refuses what is not where the prediction is, if that is one place."""
    homes = {value.device for site, value in placed if site.operand.startswith("pred")}
    for site, value in placed:
        if len(homes) == 1 and value.device not in homes and is_meant(value):
            devices = str(value.device), str(homes.pop())
            raise site.error(tensors.devices_differ(site.span, site.term, site.operand, *devices))


def _has(value: Any, name: str) -> bool:
    # A dictionary is recognized at once: to ask whether something is a mapping takes longer.
    return (type(value) is dict or isinstance(value, Mapping)) and name in value


def _holds(value: Any, position: int) -> bool:
    if not isinstance(value, (list, tuple)):
        return False
    number = len(cast("Sequence[Any]", value))
    return -number <= position < number


def _within(step: tree.Slice, size: int, value: Any, path: Input, depth: int, site: Site) -> None:
    """Raises LossError for a slice that reaches beyond what it cuts, or holds nothing of it."""
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
        raise site.error(inputs.no_way_into(site.span, so_far, access(step), _kind(value), fix))


def _no_way(value: Any, path: Input, depth: int, site: Site) -> LossError:
    """The mistake of a path whose step at `depth` leads nowhere."""
    so_far, step = Input(path.root, path.steps[:depth]), path.steps[depth]
    known = _field_names(value)
    if isinstance(value, Mapping):
        known = tuple(map(str, cast("Mapping[str, Any]", value)))
    if isinstance(step, tree.Key) and (known or isinstance(value, Mapping)):
        return site.error(inputs.missing_input(site.span, f"{so_far}.{step.name}", step.name, known))
    return site.error(inputs.no_way_into(site.span, str(so_far), access(step), _kind(value)))


def _field_names(value: Any) -> tuple[str, ...]:
    """The names of the parts of a named tuple or a dataclass; nothing else has attributes here."""
    if isinstance(value, tuple):
        return tuple(getattr(cast("Any", value), "_fields", ()))
    return tuple(f.name for f in fields(value)) if _is_record(value) else ()


def _is_record(value: Any) -> TypeGuard[DataclassInstance]:
    return is_dataclass(value) and not isinstance(value, type)


def _kind(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"a tensor {tuple(value.shape)}"
    if isinstance(value, (list, tuple)):
        items = cast("Sequence[Any]", value)
        return f"a {type(items).__name__} of {len(items)}"
    return "None" if value is None else f"a {type(value).__name__}"


def complete(root: Any, path: Input, read: Sequence[str], site: Site) -> None:
    """Refuses scalars of a mapping of losses that no term reads."""
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
    """A prediction: a float tensor, in float32 at least."""
    value = hidden(value, site, last)
    return value if value.dtype in (torch.float32, torch.float64) else value.float()


def hidden(value: Any, site: Site, last: int | None = None) -> Tensor:
    """Hidden states: a float tensor, in the precision that it has."""
    if value is None:
        raise site.error(inputs.missing_input(site.span, site.operand, site.operand, ()))
    if not isinstance(value, torch.Tensor):
        keys = tuple(map(str, cast("Mapping[str, Any]", value))) if isinstance(value, Mapping) else ()
        wrong = inputs.not_a_tensor(site.span, site.term, site.operand, _kind(value), keys)
        raise site.error(wrong)
    if last is not None and (value.ndim == 0 or value.shape[-1] != last):
        wanted, fix = f"{last} numbers along its last axis", "move that axis to the end"
        raise site.error(tensors.wrong_prediction(site.span, site.term, tuple(value.shape), wanted, fix))
    if value.is_complex():
        raise site.type_error(value, "real numbers", "take `.real` or `.abs()`")
    if not value.dtype.is_floating_point:
        raise site.type_error(value, "floats", "are prediction and target swapped?")
    return value


def number(value: Any, kind: str) -> Any:
    """What arithmetic reads: booleans and integers in 64 bits, in which nothing wraps around, or as floats."""
    if not isinstance(value, torch.Tensor) or value.is_floating_point() or value.is_complex():
        return value
    return value.to(torch.get_default_dtype() if kind == "float" else torch.long)


def head(value: Any, pred: Tensor, site: Site) -> Head:
    """The last layer over hidden states (*B, D): a linear module, or a weight (C, D) alone."""
    if isinstance(value, torch.nn.Linear):
        weight, bias = value.weight, value.bias
    else:
        weight, bias = value, None
    shape = tuple(pred.shape)
    if not isinstance(weight, torch.Tensor) or weight.ndim != 2 or weight.shape[1:] != pred.shape[-1:]:
        fix = "hand over the layer that reads these hidden states, or its `.weight`"
        if isinstance(weight, torch.Tensor) and weight.ndim == 2 and weight.shape[:1] == pred.shape[-1:]:
            fix = "it is transposed: hand over its `.T`"
        found = _kind(weight)
        raise site.error(tensors.wrong_head(site.span, site.term, site.operand, found, shape, fix))
    if not weight.dtype.is_floating_point:
        raise site.type_error(weight, "floats", "convert it with `.float()`")
    if weight.device != pred.device:
        devices = str(weight.device), str(pred.device)
        raise site.error(tensors.devices_differ(site.span, site.term, site.operand, *devices))
    return Head(weight, bias)


def net(value: Any, pred: Tensor, site: Site) -> Any:
    """A network of the user's: a module, or any function of tensors."""
    if not callable(value):
        raise site.error(inputs.not_a_network(site.span, site.term, site.operand, _kind(value)))
    return value


def matching(held: Mapping[str, Sequence[Tensor]], site: Site, match: str) -> list[Tensor]:
    """The parameters that a pattern chose when the module was made; each in float32 at least."""
    if match not in held:
        raise site.error(inputs.no_parameters(site.span, site.term))
    return [value if value.dtype == torch.float64 else value.float() for value in held[match]]


def scalar(value: Any, site: Site) -> Any:
    """One number: a Python one, or a tensor of no dimensions."""
    if not isinstance(value, torch.Tensor):
        if isinstance(value, (int, float)):
            return float(value)
        raise site.error(inputs.not_a_tensor(site.span, site.term, site.operand, _kind(value), ()))
    if value.numel() != 1:
        raise site.error(inputs.not_scalar(site.span, site.term, tuple(value.shape)))
    value = value.reshape(())
    return value if value.dtype in (torch.float32, torch.float64) else value.float()
