"""What the steps of a plan do, besides the registered primitives. Runs with torch, and traces.

Shapes: a prediction is (B, C, *S) unless its loss says otherwise. A `mask` is boolean and
broadcasts against the prediction; `frame` says how the values of a loss lie in it:
`same` (B, C, *S), `places` (B, *S), `region` (B, C), `rows` all axes but the last, `values` any shape.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, cast

from losslang import activations, functions, tree
from losslang.formatter import access
from losslang.formatter import path as spell
from losslang.lazy import torch
from losslang.mistakes import tensors
from losslang.primitive import Tensor
from losslang.targets import Site, dense, floats, labels, last_axis, like, pick, signs

# ------------------------------------------------------------------------------------ the call


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
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return tuple(value._fields)
    return tuple(f.name for f in fields(value)) if is_dataclass(value) else ()


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


# ------------------------------------------------------------------------------------ masks


def lay(value: Any, pred: Tensor, site: Site, channel: int) -> Tensor:
    """A mask or a weight in the prediction's rank, so that it broadcasts against it.

    `channel` is the axis that one of a rank less lacks; 0 means the second, or the last where only
    that fits.
    """
    if not isinstance(value, torch.Tensor):
        return torch.tensor(value, device=pred.device)
    if value.ndim == 0:
        return value
    laid = value
    if value.ndim == pred.ndim - 1 and value.ndim > 0:
        second = pred.shape[:1] + pred.shape[2:]
        axis = channel or (1 if _fits(value, second) or not _fits(value, pred.shape[:-1]) else -1)
        laid = value.unsqueeze(axis)
    elif value.ndim == 1 and pred.ndim > 1:
        laid = value.reshape(-1, *[1] * (pred.ndim - 1))
    if laid.ndim != pred.ndim or not _fits(laid, pred.shape):
        shapes = tuple(value.shape), tuple(pred.shape)
        raise site.error(tensors.does_not_lie(site.span, site.term, site.operand, *shapes))
    if laid.device != pred.device:
        devices = str(laid.device), str(pred.device)
        raise site.error(tensors.devices_differ(site.span, site.term, site.operand, *devices))
    return laid


def _fits(value: Tensor, shape: Sequence[int]) -> bool:
    return len(value.shape) == len(shape) and all(
        a in (b, 1) for a, b in zip(value.shape, shape, strict=True)
    )


def mask(value: Any, pred: Tensor, site: Site, channel: int) -> Tensor:
    """True where an element counts."""
    laid = lay(value, pred, site, channel)
    return laid if laid.dtype == torch.bool else laid != 0


def kept(target: Tensor, index: int) -> Tensor:
    """True where the target is not the ignored index."""
    return target != index


def both(a: Tensor, b: Tensor) -> Tensor:
    """True where both are."""
    return a & b


def hide(value: Any, mask: Tensor) -> Any:
    """0 where masked, so that what stands there, even NaN, reaches neither value nor gradient."""
    if not isinstance(value, torch.Tensor):
        return value
    if mask.ndim == value.ndim + 1:
        mask = mask.squeeze(1) if mask.shape[1] == 1 else mask.any(1)
    return torch.where(mask, value, torch.zeros((), dtype=value.dtype, device=value.device))


def hide_raw(target: Any, mask: Tensor) -> Any:
    """As `hide`, for a target before its shape is known to fit: what does not lie plainly is left."""
    if not isinstance(target, torch.Tensor) or mask.ndim not in (target.ndim, target.ndim + 1):
        return target
    over = mask if mask.ndim == target.ndim else mask.any(1)
    return hide(target, over) if _fits(over, target.shape) else target


def counted(mask: Tensor | None, values: Tensor, site: Site, frame: str, batch: bool) -> Tensor:
    """The mask over a loss's values, in their shape."""
    assert mask is not None
    if frame == "region":
        seen = mask.flatten(2).any(2) if mask.ndim > 2 else mask
        return (seen.any(0, keepdim=True) if batch else seen).expand(values.shape)
    return _over_values(mask, values, site, frame).expand(values.shape)


def weigh(value: Any, pred: Tensor, values: Tensor, site: Site, channel: int, frame: str) -> Any:
    """A weight over a loss's values."""
    if not isinstance(value, torch.Tensor) or value.ndim == 0:
        return value
    laid = lay(value, pred, site, channel)
    over = _over_values(laid, values, site, frame)
    return over if over.dtype == values.dtype else over.to(values.dtype)


def _over_values(laid: Tensor, values: Tensor, site: Site, frame: str) -> Tensor:
    """What broadcasts against the prediction, as it broadcasts against the values."""
    if laid.ndim == 0 or frame in ("same", "values"):
        return laid
    if frame == "places" and laid.shape[1] == 1:
        return laid.squeeze(1)
    if frame == "rows" and laid.shape[-1] == 1:
        return laid.squeeze(-1)
    if (
        frame == "region"
        and laid.numel() == laid.shape[0] * laid.shape[1]
        and laid.shape[0] in (1, values.shape[0])
    ):
        return laid.flatten(1)
    kinds = {
        "places": "one per sample and place",
        "rows": "one per row",
        "region": "one per sample and class",
    }
    wrong = tensors.too_fine(site.span, site.term, site.operand, tuple(laid.shape), kinds[frame])
    raise site.error(wrong)


# ------------------------------------------------------------------------------------ views


def cool(logits: Tensor, temperature: float) -> Tensor:
    """x / T."""
    return logits / temperature


def foreground(value: Tensor) -> Tensor:
    """Without channel 0, the background."""
    return value[:, 1:]


def foreground_mask(mask: Tensor) -> Tensor:
    """A mask of one channel covers all classes."""
    return mask[:, 1:] if mask.shape[1] > 1 else mask


def true_class(values: Tensor, target: Tensor) -> Tensor:
    """Σ_c t_c v_c."""
    return pick(values, target)


def true_element(probs: Tensor, target: Tensor) -> Tensor:
    """t p + (1 - t)(1 - p): the probability given to what is true."""
    return target * probs + (1 - target) * (1 - probs)


def log_true_element(log_probs: Tensor, log_complement: Tensor, target: Tensor) -> Tensor:
    """t log p + (1 - t) log(1 - p)."""
    return target * log_probs + (1 - target) * log_complement


def not_background(target: Tensor, pred: Tensor) -> Tensor:
    """How far what is true is not class 0."""
    if target.ndim == pred.ndim:
        return 1 - target[:, 0]
    return (target != 0).to(pred.dtype)


# ------------------------------------------------------------------------------------ weights


def constant(values: tuple[float, ...]) -> tuple[float, ...]:
    """Numbers of the program."""
    return values


def per_class(value: Any, pred: Tensor, site: Site, dropped: int) -> Tensor:
    """One weight per class that is left in the loss, in the prediction's type; a single one is for all."""
    vector = torch.as_tensor(value, dtype=pred.dtype, device=pred.device).flatten()
    classes = (pred.shape[1] if pred.ndim > 1 else 1) - dropped
    if vector.numel() not in ((1, classes) if site.operand == "pos_weight" else (classes,)):
        wrong = tensors.wrong_length(site.span, site.term, site.operand, vector.numel(), classes)
        raise site.error(wrong)
    return vector


def _class_counts(target: Tensor, pred: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """How many places each class has, and how many there are."""
    if target.ndim == pred.ndim:
        seen = target if mask is None else target * mask
        dims = [i for i in range(target.ndim) if i != 1]
        places = (
            torch.ones_like(target[:, :1])
            if mask is None
            else mask[:, :1].to(target.dtype).expand_as(target[:, :1])
        )
        return seen.sum(dims), places.sum()
    counted = torch.ones_like(target) if mask is None else mask.squeeze(1).expand_as(target).long()
    zeros = torch.zeros(pred.shape[1], dtype=torch.long, device=pred.device)
    counts = zeros.scatter_add(0, target.flatten(), counted.flatten())
    return counts.to(pred.dtype), counted.sum()


def class_weight_balanced(target: Tensor, pred: Tensor, mask: Tensor | None) -> Tensor:
    """N / (C N_c), the weights that give every class of the batch the same say; an absent one has none."""
    counts, places = _class_counts(target, pred, mask)
    return torch.where(counts > 0, places / (counts.numel() * counts.clamp(min=1)), 0.0).to(pred.dtype)


def class_weight_complement(target: Tensor, pred: Tensor, mask: Tensor | None) -> Tensor:
    """(N - N_c) / N of the batch."""
    counts, places = _class_counts(target, pred, mask)
    return ((places - counts) / places.clamp(min=1)).to(pred.dtype)


def pos_weight_balanced(target: Tensor, pred: Tensor, mask: Tensor | None) -> Tensor:
    """Negatives / positives of the batch; 1 where there is no positive to weigh."""
    seen = torch.ones_like(target) if mask is None else mask.to(target.dtype).expand_as(target)
    positives = (target * seen).sum()
    weight = (seen.sum() - positives) / torch.where(positives > 0, positives, 1.0)
    return torch.where(positives > 0, weight, 1.0)


def pos_weighted(values: Tensor, weight: Tensor, positive: Tensor) -> Tensor:
    """Values of positives times the weight."""
    along = weight.reshape(-1, *[1] * (values.ndim - 2)) if weight.ndim and values.ndim > 1 else weight
    return values * (1 + (along - 1) * positive)


def class_weighted(values: Tensor, weight: Tensor, target: Tensor, by: str) -> Tensor:
    """Values times the weight of their class: along their class axis, or by the label of their place."""
    if by == "axis":
        return values * (weight.reshape(-1, *[1] * (values.ndim - 2)) if values.ndim > 1 else weight)
    return values * _of_label(weight, target, values)


def _of_label(weight: Tensor, target: Tensor, values: Tensor) -> Tensor:
    if target.ndim == values.ndim:
        return weight[target]
    return (target * weight.reshape(-1, *[1] * (target.ndim - 2))).sum(1)


def weight_of_label(weight: Tensor, target: Tensor, values: Tensor) -> Tensor | None:
    """The weight of each label; None for soft targets, whose mean divides by the count as torch's does."""
    return weight[target] if target.ndim == values.ndim else None


def product(a: Any, b: Any) -> Any:
    """a b, either of which may be missing."""
    return a if b is None else b if a is None else a * b


def affine(values: Tensor, scale: float, shift: float) -> Tensor:
    """scale v + shift."""
    return values * scale + shift


def present(target: Tensor, mask: Tensor | None, batch: bool) -> Tensor:
    """True for the classes that the target has, per sample or in the batch."""
    seen = (target if mask is None else target * mask) != 0
    held = seen.flatten(2).any(2) if seen.ndim > 2 else seen
    return held.any(0, keepdim=True) if batch else held


def empty(values: Tensor, present: Tensor, policy: str) -> Tensor:
    """What a class that the target lacks gives: 0, 1, or nothing at all."""
    return torch.where(present, values, 1.0 if policy == "one" else 0.0)


def region_total(mask: Tensor | None, keep: int, batch: bool) -> Callable[..., tuple[Any, ...]]:
    """`total` for a loss whose values keep the first `keep` axes of what it sums."""

    def summed(value: Tensor) -> Tensor:
        whole = value if mask is None else value * mask
        dims = list(range(keep, value.ndim))
        if batch:
            return whole.sum([0, *dims], keepdim=True).flatten(1)
        return whole.sum(dims) if dims else whole

    def total(*values: Any) -> tuple[Any, ...]:
        shape = next(v for v in values if isinstance(v, torch.Tensor))
        sums = [summed(v) if isinstance(v, torch.Tensor) else v * _count(shape, mask, keep) for v in values]
        if mask is None or keep == 0:
            return tuple(sums)
        # A region that is masked entirely is dropped from the mean; until then it must stay finite.
        seen = summed(torch.ones_like(shape)) > 0
        return tuple(torch.where(seen, s, 1.0) for s in sums)

    return total


def _count(like: Tensor, mask: Tensor | None, keep: int) -> Any:
    """How many elements are summed; at least 1, so that the mean over nothing is 0."""
    if mask is not None:
        return mask.expand(like.shape).sum(list(range(keep, like.ndim))).clamp(min=1)
    number = 1
    for size in like.shape[keep:]:
        number *= size
    return max(number, 1)


# ------------------------------------------------------------------------------------ checks


def check_channels(pred: Tensor, site: Site, activation: str) -> None:
    """Refuses a softmax over one channel, and a prediction without a class axis."""
    if pred.ndim < 2:
        raise site.mismatch(pred, pred, "a prediction (B, C, ...) with a class axis", "unsqueeze the batch")
    if pred.shape[1] == 1:
        raise site.error(tensors.one_channel_softmax(site.span, site.term, activation, tuple(pred.shape)))


def check_probs(probs: Tensor, site: Site, over: str) -> None:
    """Refuses values outside of [0, 1] where probabilities are read."""
    if probs.numel() and bool(((probs < -1e-4) | (probs > 1 + 1e-4)).any()):
        low, high = float(probs.min()), float(probs.max())
        raise site.error(tensors.not_probabilities(site.span, site.term, low, high, over))


def check_classes(target: Any, pred: Tensor, site: Site) -> None:
    """Refuses class indices that the prediction has no channel for."""
    indices = isinstance(target, torch.Tensor) and not target.dtype.is_floating_point
    if indices and target.shape != pred.shape and pred.ndim > 1 and pred.shape[1] > 1 and target.numel():
        low, high = int(target.min()), int(target.max())
        if low < 0 or high >= pred.shape[1]:
            found = low if low < 0 else high
            raise site.error(tensors.class_out_of_range(site.span, site.term, found, pred.shape[1]))


def check_signs(target: Any, site: Site) -> None:
    """Refuses a float 0 where +1 and -1 are read."""
    if isinstance(target, torch.Tensor) and target.dtype.is_floating_point and bool((target == 0).any()):
        raise site.error(tensors.not_signs(site.span, site.term))


def check_nonnegative(value: Any, site: Site) -> None:
    """Refuses values below 0."""
    if isinstance(value, torch.Tensor) and value.numel() and float(value.min()) < 0:
        found = float(value.min())
        raise site.error(tensors.out_of_range(site.span, site.term, site.operand, found, "at least 0"))


MATH: dict[str, Callable[..., Any]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "neg": lambda a: -a,
    "**": lambda a, b: functions.power(a, b) if isinstance(a, torch.Tensor) else a**b,
}

OPERATIONS: dict[str, Callable[..., Any]] = {
    "log": activations.log,
    "log_complement": activations.log_complement,
    "log_sigmoid": activations.log_sigmoid,
    "log_complement_sigmoid": activations.log_complement_sigmoid,
    "log_softmax": activations.log_softmax.function,
    "log_complement_softmax": activations.log_complement_softmax,
    "check:channels": check_channels,
    "check:probs": check_probs,
    "check:classes": check_classes,
    "check:signs": check_signs,
    "check:nonnegative": check_nonnegative,
    **{
        made.__name__: made
        for made in (
            real, scalar, mask, kept, both, hide, hide_raw, counted, weigh, cool, foreground, foreground_mask,
            true_class, true_element, log_true_element, not_background, constant, per_class,
            class_weight_balanced, class_weight_complement, pos_weight_balanced, pos_weighted,
            class_weighted, weight_of_label, product, affine, present, empty,
            like, floats, last_axis, dense, labels, signs,
        )
    },
}  # fmt: skip
