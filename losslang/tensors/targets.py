"""Converts targets to the form that a loss reads: indices, one-hot or soft, binary, signs, one a row.

The form of a target is told by shape and type alone, never by values; an ambiguous one is an error. Class
indices stay indices where a loss reads `labels`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.errors import LossError
from losslang.diagnostics.mistakes import inputs, tensors
from losslang.diagnostics.source import Source, Span
from losslang.tensors.byte_masks import is_quick
from losslang.tensors.lazy import torch
from losslang.tensors.parts import kind, naming
from losslang.tensors.repairs import Misfit, Reads, has_shape, rows_of
from losslang.vocabulary import Tensor


class Site(NamedTuple):
    """The place that an error names: a term of the program by its key, one of its operands, and its text.

    `loss` is the loss that reads the operand, if one does; `written` its `channels=`, and `moved` the axes by
    which its tensors are moved before it reads them. `of_rows` says that it reads rows along the last axis,
    `paths` are those of its operands by position, and `is_below` says that a head is behind them. `option` is
    the option that a number is written for, and `frame` how the values of the loss lie in its prediction.
    """

    term: str
    operand: str
    span: Span
    source: Source
    loss: str = ""
    written: str = ""
    moved: tuple[int, int] | None = None
    of_rows: bool = False
    paths: tuple[tuple[str, str], ...] = ()
    is_below: bool = False
    option: str = ""
    frame: str = ""

    def error(self, diagnostic: Diagnostic) -> LossError:
        return LossError([diagnostic.at(self.source)])

    def mismatch(self, found: Tensor, pred: Tensor, wanted: str, fix: str) -> LossError:
        """Returns the error of an operand whose shape does not fit, in the shapes of the call."""
        given = self.given(found, pred)
        shapes = tuple(given[0].shape), tuple(given[1].shape)
        return self.error(tensors.shapes_differ(self.span, self.term, self.operand, *shapes, wanted, fix))

    def misfit(self, found: Tensor, pred: Tensor, wanted: str, reads: Reads) -> LossError:
        """Returns the error of a target whose shape does not fit, with what it would need to fit."""
        given = Misfit(*self.given(found, pred), reads, self.written, self.of_rows)
        return self.mismatch(found, pred, wanted, given.repair)

    def given(self, found: Tensor, pred: Tensor) -> tuple[Tensor, Tensor]:
        """Returns an operand and the prediction on the axes on which the call hands them over."""
        if self.moved is None or pred.ndim < 2:
            return found, pred
        back = self.moved[::-1]
        return found.movedim(*back) if found.ndim == pred.ndim else found, pred.movedim(*back)

    def shape(self, value: Tensor) -> tuple[int, ...]:
        """Returns the shape of a tensor of the prediction's rank as the call hands it over."""
        return tuple(self.given(value, value)[0].shape)

    def no_tensor(self, value: Any) -> LossError:
        """Returns the error of something else than a tensor, with the paths to the tensors in it."""
        text, behind = self.source.text[slice(*self.span)], self.source.text[self.span.end :]
        fix = naming(value, text, behind, self.operand, dict(self.paths), is_below=self.is_below)
        return self.error(inputs.not_a_tensor(self.span, self.term, self.operand, kind(value), fix))

    def type_error(self, found: Tensor, wanted: str, fix: str) -> LossError:
        name = str(found.dtype).removeprefix("torch.")
        return self.error(tensors.wrong_dtype(self.span, self.term, self.operand, name, wanted, fix))


def broadcasts_to(value: Tensor, shape: Sequence[int]) -> bool:
    """Returns whether every axis of a tensor has the size that a shape of its rank says, or size 1."""
    # Spelled out with `==`: a size may be symbolic while torch traces.
    return value.ndim == len(shape) and all(a == b or a == 1 for a, b in zip(value.shape, shape, strict=True))


def lies_on(target: Tensor, pred: Tensor) -> bool:
    """Returns whether a target has a shape that fits a prediction: its own, (B, *S), or (B, 1, *S)."""
    places = pred.shape[2:]
    shapes = (pred.shape, (*pred.shape[:1], *places), (*pred.shape[:1], 1, *places))
    return any(has_shape(target, shape) for shape in shapes)


def target_like_pred(target: Any, pred: Tensor, site: Site, reads: Reads = "values") -> Tensor:
    """Returns a target of exactly the prediction's shape, in its type; a number is expanded."""
    target = _tensor(target, pred, site)
    if has_shape(target, pred.shape):
        return target if target.dtype == pred.dtype else target.to(pred.dtype)
    if site.operand != "target":
        raise site.mismatch(target, pred, "the prediction's shape", f"give `{site.operand}` that shape")
    raise site.misfit(target, pred, "the prediction's shape", reads)


def operand_like_pred(value: Any, pred: Tensor, site: Site, of_rows: bool = False) -> Tensor:
    """Returns an operand that broadcasts to the prediction, expanded to its shape and in its type.

    With `of_rows` it has all numbers of a row: one that is broadcast over them would be no embedding.
    """
    value = _tensor(value, pred, site)
    if of_rows and value.shape[-1:] != pred.shape[-1:]:
        wanted = f"{pred.shape[-1]} numbers along its last axis"
        raise site.mismatch(value, pred, wanted, f"give `{site.operand}` the rows of the prediction")
    value = value if value.dtype == pred.dtype else value.to(pred.dtype)
    return value if has_shape(value, pred.shape) else value.expand(pred.shape)


def float_target(target: Any, pred: Tensor, site: Site) -> Tensor:
    """Returns the same as `target_like_pred`, but refuses integers: they are class indices."""
    target = _tensor(target, pred, site)
    if has_shape(target, pred.shape) and not target.dtype.is_floating_point:
        raise site.type_error(target, "floats like the prediction", "convert it with `.float()`")
    return target_like_pred(target, pred, site, "probs")


def last_axis(target: Any, pred: Tensor, site: Site, size: int) -> Tensor:
    """Returns a target without the prediction's last axis, of `size` entries, with an axis of 1 there."""
    target = _tensor(target, pred, site)
    if pred.ndim == 0 or pred.shape[-1] != size or not has_shape(target, pred.shape[:-1]):
        wanted = f"a prediction with a last axis of {size} more than the target"
        raise site.mismatch(target, pred, wanted, f"predict {size} numbers per target, in the last axis")
    return target.to(pred.dtype).unsqueeze(-1)


def dense(target: Any, pred: Tensor, site: Site, over: str) -> Tensor:
    """Returns a target in the prediction's shape: soft, one-hot or binary as it is, class indices one-hot."""
    target = _tensor(target, pred, site)
    if has_shape(target, pred.shape):
        if over == "class" and pred.ndim < 2:
            raise _needs_classes(target, pred, site)
        return target if target.dtype == pred.dtype else target.to(pred.dtype)
    if pred.ndim > 1 and pred.shape[1] == 1:
        if target.ndim > 1 and has_shape(target, pred.shape[:1] + pred.shape[2:]):
            return target.to(pred.dtype).unsqueeze(1)
        raise site.misfit(target, pred, "the prediction's shape", "probs")
    return one_hot(_indices(target, pred, site), pred)


def one_hot(indices: Tensor, pred: Tensor) -> Tensor:
    """Returns class indices as 0 and 1 for each class of a prediction; 0 everywhere for an index of none."""
    # A comparison, not F.one_hot, which synchronizes a GPU and takes 8 times the memory.
    if is_quick(pred):
        classes = _classes(pred.shape[1], pred.ndim, pred.dtype)
        return torch.eq(indices.to(pred.dtype).unsqueeze(1), classes, out=torch.empty_like(pred))
    classes = torch.arange(pred.shape[1], device=pred.device).reshape(-1, *[1] * (pred.ndim - 2))
    return (indices.unsqueeze(1) == classes).to(pred.dtype)


@lru_cache(maxsize=64)
def _classes(number: int, rank: int, dtype: torch.dtype) -> Tensor:
    """Returns the numbers of the classes along axis 1 of a prediction on a CPU, of this rank and type."""
    return torch.arange(number, dtype=dtype, device="cpu").reshape(-1, *[1] * (rank - 2))


def labels(target: Any, pred: Tensor, site: Site) -> Tensor:
    """Returns the class of each place: indices (B, *S), or a distribution like the prediction."""
    place = pred.shape[:1] + pred.shape[2:]
    if isinstance(target, torch.Tensor) and target.dtype == torch.long and pred.ndim > 1:
        # Fast path for what most calls pass: on small tensors every check counts.
        if has_shape(target, place) and target.device == pred.device:
            return target
    target = _tensor(target, pred, site, place)
    if pred.ndim < 2:
        raise _needs_classes(target, pred, site)
    if has_shape(target, pred.shape) and (pred.ndim > 2 or pred.shape[1] > 1):
        return target if target.dtype == pred.dtype else target.to(pred.dtype)
    if pred.shape[1] == 1 and has_shape(target, pred.shape):
        return target.to(pred.dtype)
    return _indices(target, pred, site)


def indices(target: Any, pred: Tensor, site: Site) -> Tensor:
    """Returns the class of each row: integers (*B) for a prediction (*B, D)."""
    target = _tensor(target, pred, site, pred.shape[:-1])
    if not has_shape(target, pred.shape[:-1]):
        wanted = f"one class a row: {tuple(pred.shape[:-1])}"
        if target.ndim == pred.ndim and target.shape[-1] != 1:
            fix = "drop its last axis: `target.argmax(-1)`, if it is one-hot"
            raise site.mismatch(target, pred, wanted, fix)
        raise site.misfit(target, pred, wanted, "indices")
    if target.dtype.is_floating_point:
        raise site.type_error(target, "integer class indices", "convert it with `.long()`")
    return target.long()


def signs(target: Any, pred: Tensor, site: Site) -> Tensor:
    """Returns +1 and -1 in the prediction's shape; booleans, 0/1 integers and class indices are converted."""
    target = _tensor(target, pred, site)
    if target.dtype.is_floating_point:
        return dense(target, pred, site, "element")
    return _plus_or_minus(dense(target, pred, site, "element"))


def sign(value: Any, pred: Tensor, site: Site) -> Tensor:
    """Returns an operand of +1 and -1 in the prediction's shape; booleans and 0/1 integers are converted."""
    return _signs(_tensor(value, pred, site), pred).expand(pred.shape)


def sign_of_row(value: Any, pred: Tensor, site: Site) -> Tensor:
    """Returns an operand of +1 and -1, one per row."""
    return _signs(_of_rows(value, pred, site), pred)


def _signs(value: Tensor, pred: Tensor) -> Tensor:
    found = value if value.dtype == pred.dtype else value.to(pred.dtype)
    return found if value.dtype.is_floating_point else _plus_or_minus(found)


def _plus_or_minus(value: Tensor) -> Tensor:
    """Returns +1 above 0, -1 elsewhere; by arithmetic, since torch.where takes longer."""
    return 2 * value.sign().relu() - 1


def per_row(value: Any, pred: Tensor, site: Site) -> Tensor:
    """Returns one number per row: the prediction's shape without its last axis."""
    rows = _of_rows(value, pred, site)
    return rows if rows.dtype == pred.dtype else rows.to(pred.dtype)


def _of_rows(value: Any, pred: Tensor, site: Site) -> Tensor:
    """Returns an operand of one number per row, which lies over the prediction with a last axis of 1."""
    rows = pred.shape[:-1]
    value = _tensor(value, pred, site, rows)
    if has_shape(value, rows):
        return value
    if value.ndim and value.shape[-1] != 1:
        wanted = f"one number a row: {tuple(rows)}"
        fix = f"give `{site.operand}` that shape" if len(rows) else rows_of(value)
        raise site.mismatch(value, pred, wanted, fix)
    return value.reshape(value.shape[:-1]).expand(rows)


def position(target: Any, pred: Tensor, site: Site) -> Tensor:
    """Returns one real number per row, a position among the bins of the prediction's last axis."""
    rows = pred.shape[:-1]
    target = _tensor(target, pred, site, rows)
    if not has_shape(target, rows):
        wanted = f"one number a row: {tuple(rows)}"
        raise site.mismatch(target, pred, wanted, "hand over the position of each row among its bins")
    return target.to(pred.dtype)


def free(value: Any, pred: Tensor, site: Site, axes: str = "b *own") -> Tensor:
    """Returns an operand with axes of its own.

    Its first axes, and a last axis `*space`, are the prediction's, or of size 1, which is expanded. An image
    of one rank less lacks the channel axis.
    """
    value = _tensor(value, pred, site)
    names = axes.split()
    if names[-1] == "*space":
        value = value.unsqueeze(1) if value.ndim == pred.ndim - 1 > 1 else value
        shape = (*pred.shape[:1], *value.shape[1:2], *pred.shape[2:])
    else:
        shared = 1 if names[-1].startswith("*") else max(value.ndim - 1, 1)
        shape = (*pred.shape[:shared], *value.shape[shared:])
    if not value.ndim or value.ndim < 2 <= len(names) or not broadcasts_to(value, shape):
        shown = ", ".join(name.removeprefix("*").upper() for name in names)
        wanted = f"axes ({shown}), of the prediction's samples and space"
        fix = f"bring `{site.operand}` to these axes"
        if value.ndim and value.shape[0] != 1 and value.shape[0] != pred.shape[0]:
            wanted = f"{len(pred)} samples along its first axis"
            fix = f"hand over `{site.operand}` of the same samples, or one for all of them: `[None]`"
        raise site.mismatch(value, pred, wanted, fix)
    value = value if value.dtype == pred.dtype else value.to(pred.dtype)
    return value if has_shape(value, shape) else value.expand(shape)


def _indices(target: Tensor, pred: Tensor, site: Site) -> Tensor:
    """Returns class indices (B, *S); drops a channel axis of 1."""
    place = pred.shape[:1] + pred.shape[2:]
    if target.ndim > 2 and has_shape(target, (*pred.shape[:1], 1, *pred.shape[2:])):
        target = target.squeeze(1)
    if not has_shape(target, place):
        wanted = f"class indices {tuple(place)} or the prediction's shape"
        raise site.misfit(target, pred, wanted, "indices")
    if target.dtype.is_floating_point:
        raise site.type_error(
            target, "integer class indices, or one float per class", "convert it with `.long()`"
        )
    return target.long()


def _tensor(target: Any, pred: Tensor, site: Site, shape: Sequence[int] | None = None) -> Tensor:
    """Returns `target`, or a number as a tensor of `shape` (the prediction's if None)."""
    if isinstance(target, torch.Tensor):
        if target.device != pred.device:
            raise site.error(
                tensors.devices_differ(
                    site.span, site.term, site.operand, str(target.device), str(pred.device)
                )
            )
        return target
    if target is None:
        raise site.error(inputs.missing_input(site.span, site.operand, site.operand, None))
    if not isinstance(target, (int, float)):
        raise site.no_tensor(target)
    # A float gets the prediction's type; an integer stays one, since it may be a class.
    kind = pred.dtype if isinstance(target, float) else None
    number = torch.full((), target, dtype=kind, device=pred.device)
    return number.expand(pred.shape if shape is None else shape)


def _needs_classes(target: Tensor, pred: Tensor, site: Site) -> LossError:
    return site.mismatch(
        target, pred, "a prediction (B, C, ...) with a class axis", "unsqueeze the batch: `pred[None]`"
    )
