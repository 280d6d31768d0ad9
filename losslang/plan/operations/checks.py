"""Checks of a call: of shapes and labels in every call, of other values in the first eager one."""

from __future__ import annotations

import re
from typing import Any

from losslang.diagnostics.mistakes import counts, labels, tensors
from losslang.meaning.layout import channel_axis
from losslang.plan.operations import beyond
from losslang.plan.operations.class_axis import warn_of_class_axis
from losslang.plan.operations.compared import ends_of, values_of
from losslang.tensors.lazy import torch
from losslang.tensors.repairs import has_shape
from losslang.tensors.targets import Site, lies_on
from losslang.vocabulary import Head, Tensor


def check_channels(pred: Tensor, site: Site, activation: str, channel: int = 1) -> None:
    """Refuses a softmax over one channel, and a prediction without a class axis."""
    if pred.ndim < 2:
        wanted, fix = "(B, C, *S), with a class axis", "add the batch: `pred[None]`"
        raise site.error(tensors.wrong_prediction(site.span, site.term, site.shape(pred), wanted, fix))
    if pred.shape[channel_axis(channel, pred.ndim)] == 1:
        raise site.error(tensors.one_channel_softmax(site.span, site.term, activation, site.shape(pred)))


def check_rank(pred: Tensor, site: Site, axes: str, least: int = 0) -> None:
    """Refuses a prediction without the axes that a loss names; a last axis `*space` stands for any number."""
    names = axes.split()
    fits = pred.ndim == len(names) if not names[-1].startswith("*") else pred.ndim >= (least or len(names))
    if not fits:
        shown = ", ".join(name.removeprefix("*").upper() for name in names)
        wanted, fix = f"({shown})", "bring it to these axes"
        raise site.error(tensors.wrong_prediction(site.span, site.term, site.shape(pred), wanted, fix))


def check_layout(pred: Tensor, site: Site, of_rows: bool) -> None:
    """Refuses a prediction whose rank alone does not say which axis the channels are."""
    if of_rows and pred.ndim >= 4:
        wanted = "to be told along which axis a row lies"
        fix = "`channels=first` for maps (B, D, H, W), `channels=last` for (B, ..., D)"
    elif not of_rows and pred.ndim == 3:
        wanted = "(B, C, *S), or to be told that this is a signal (B, C, T)"
        fix = (
            "give an image its batch, `pred[None]`, or a batch of images their channel, `pred.unsqueeze(1)`;"
        )
        fix += " a signal is `channels=first`"
    else:
        return
    raise site.error(tensors.wrong_prediction(site.span, site.term, site.shape(pred), wanted, fix))


def check_chosen(pred: Tensor, site: Site, classes: tuple[int, ...]) -> None:
    """Refuses channels to count that the prediction does not have."""
    if max(classes) >= pred.shape[1]:
        raise site.error(tensors.no_such_channel(site.span, site.term, classes, pred.shape[1]))


def check_region(pred: Tensor, site: Site, batch: bool, background: bool) -> None:
    """Refuses a prediction that has nothing to sum over, or nothing but background."""
    shape = site.shape(pred)
    if pred.ndim < (2 if batch else 3):
        wanted = "(B, C) or (B, C, *S)" if batch else "(B, C, *S), with an axis of space"
        fix = "unsqueeze it: `pred[:, None]`" if batch else "add that axis, or sum over samples: `batch=true`"
        raise site.error(tensors.wrong_prediction(site.span, site.term, shape, wanted, fix))
    if not background and pred.shape[1] == 1:
        wanted, fix = (
            "a second channel: channel 0 is dropped",
            "`background=alone` keeps a channel that is the only one",
        )
        raise site.error(tensors.wrong_prediction(site.span, site.term, shape, wanted, fix))


def check_probs(value: Any, site: Site, over: str, either: bool = False) -> None:
    """Refuses values outside of [0, 1] where probabilities are read, and NaN, which is no probability.

    `either`: of several channels a softmax may be meant as well as `over`.
    """
    probs = values_of(value)
    if probs is None:
        return
    low, high = ends_of(probs)
    if not (low >= -1e-4 and high <= 1 + 1e-4):
        several = either and value.ndim > 1 and value.shape[1] > 1
        written = [activated(site, name) for name in (("softmax", over) if several else (over,))]
        raise site.error(labels.not_probabilities(site.span, site.term, low, high, written))


READ_AS_IT_STANDS = re.compile(r"^(identity|exp)\b")


def activated(site: Site, activation: str) -> str:
    """Returns the use of a loss with an activation in it, its options as they are written."""
    name, _, inside = site.source.text[slice(*site.span)].partition("(")
    options = READ_AS_IT_STANDS.sub("", inside.rstrip().removesuffix(")").strip()).removeprefix(",").strip()
    if name.strip().isidentifier() and options:
        return f"{name.strip()}({activation}, {options})"
    return f"{site.loss}({activation})"


SIGNS = -1
"""Instead of a number of classes: the target is +1 and -1, element by element."""


def check_classes(
    value: Any, pred: Tensor, site: Site, form: str, over: str = "", told: bool = False
) -> None:
    """Refuses class indices that the prediction has no channel for, and truths that are not 0 to 1.

    Warns where the classes may be the last axis, unless the program has `told` which axis they are.
    """
    target = values_of(torch.tensor(value) if isinstance(value, (int, float)) else value)
    if target is None:
        return
    if target.ndim and not lies_on(target, pred):
        # The step that reads it refuses its shape, with a better repair.
        return
    by_class = form in ("labels", "float_target") or over == "class"
    if not told:
        warn_of_class_axis(target, pred, site, by_class)
    classes, ends = number_of_classes(value, target, pred, form), ends_of(target)
    fix = ""
    if classes in (0, SIGNS) and not (classes <= ends[0] and ends[1] <= 1):
        fix = beyond.swapped(pred)
        fix = fix or (beyond.of_logits(target, site, by_class) if not classes else "")
        fix = fix or (beyond.of_shares(ends[0]) if by_class else "")
    refuse_classes(*ends, site, classes, fix)


def number_of_classes(value: Any, target: Tensor, pred: Tensor, form: str) -> int:
    """Returns how many classes a target may name; 0 if it is 0 to 1 per element, SIGNS if it is +1 and -1."""
    if isinstance(value, (int, float)) and form == "dense":
        return 0
    is_dense = target.dtype.is_floating_point or has_shape(target, pred.shape)
    if is_dense or pred.ndim < 2 or pred.shape[1] == 1:
        return SIGNS if form == "signs" else 0
    return pred.shape[1]


def refuse_classes(low: float, high: float, site: Site, classes: int, fix: str = "") -> None:
    """Refuses labels outside of 0 to classes - 1, or targets outside of 0 to 1 if there are no classes.

    NaN too. `fix` is the repair of a target that is no label.
    """
    found = float(high if low >= 0 else low)
    if not classes and not (low >= 0 and high <= 1):
        fix = fix or beyond.of_numbers(found, low, site)
        wrong = labels.out_of_range(site.span, site.term, site.operand, found, "between 0 and 1", fix)
        raise site.error(wrong)
    if classes == SIGNS and not (low >= -1 and high <= 1):
        wanted = "+1 and -1, or 0 and 1 of integers and booleans"
        fix = fix or f"hand over `{site.operand}.sign()`"
        raise site.error(labels.out_of_range(site.span, site.term, site.operand, found, wanted, fix))
    if classes > 0 and (low < 0 or high >= classes):
        said = labels.class_out_of_range(
            site.span, site.term, int(found), classes, least=int(low), ignored=_ignored(site)
        )
        raise site.error(said)


IGNORED = re.compile(r"ignore_index\s*=\s*(\[[^\]]*\]|-?[0-9]+)")
"""The labels that a program leaves out, as they are written."""


def _ignored(site: Site) -> list[int]:
    """Returns the labels that a term leaves out already: its own, or those that another term wrote."""
    text = site.source.text
    found = IGNORED.search(text, *site.span) or IGNORED.search(text)
    return [int(label) for label in re.findall(r"-?[0-9]+", found[1])] if found else []


def check_ignored(target: Any, pred: Any, site: Site, index: int, form: str) -> None:
    """Refuses `ignore_index` for one-hot or soft labels, whose numbers are no classes."""
    is_pair = isinstance(target, torch.Tensor) and isinstance(pred, torch.Tensor)
    if not is_pair or pred.ndim < 2 or not has_shape(target, pred.shape):
        return
    classes = pred.shape[1]
    # Without classes an element may be marked by a number that is no target: not 0, 1 or a sign.
    least = -1 if form == "signs" else 0
    if classes > 1 and least <= index < (classes if form == "labels" else 2):
        raise site.error(counts.ignored_by_number(site.span, site.term, index, site.shape(target)))


def check_indices(value: Any, head: Head, site: Site) -> None:
    """Refuses class indices that a last layer has no row for."""
    target, classes = (
        values_of(torch.tensor(value) if isinstance(value, (int, float)) else value),
        len(head.weight),
    )
    if target is None:
        return
    low, high = map(int, ends_of(target))
    refuse_indices(low, high, site, classes)


def refuse_indices(low: int, high: int, site: Site, classes: int) -> None:
    """Refuses the range of the indices of a last layer's rows."""
    if low < 0 or high >= classes:
        raise site.error(
            labels.class_out_of_range(site.span, site.term, low if low < 0 else high, classes, "head")
        )


def check_signs(value: Any, mask: Tensor | None, site: Site) -> None:
    """Refuses a float 0, and NaN, where +1 and -1 are read."""
    target = values_of(value)
    if target is None or not target.dtype.is_floating_point:
        return
    seen = ~(target.abs() > 0)
    if mask is not None:
        seen = seen & (mask.any(-1) if mask.ndim > target.ndim else mask)
    if bool(seen.any()):
        raise site.error(labels.not_signs(site.span, site.term, site.operand))


def check_boxes(value: Any, mask: Tensor | None, site: Site, format: str) -> None:
    """Refuses boxes whose second corner lies before the first, and sizes below 0."""
    seen = values_of(value)
    if seen is None:
        return
    first, second = seen[..., :2], seen[..., 2:]
    wrong = (second < first if format == "xyxy" else second < 0).any(-1)
    if mask is not None:
        wrong = wrong & mask.expand(seen.shape).any(-1)
    if bool(wrong.any()):
        index = tuple(int(i) for i in wrong.nonzero()[0])
        box = tuple(round(float(x), 4) for x in seen[index])
        raise site.error(labels.not_a_box(site.span, site.term, site.operand, index, box, format))


def check_position(value: Any, pred: Tensor, site: Site) -> None:
    """Refuses positions outside of the bins of the prediction."""
    seen = values_of(value)
    if seen is None:
        return
    (low, high), last = ends_of(seen), pred.shape[-1] - 1
    if not (low >= 0 and high <= last):
        found = high if low >= 0 else low
        fix = f"bins are counted from 0: `target.clamp(0, {last})` keeps positions among them"
        wrong = labels.out_of_range(site.span, site.term, site.operand, found, f"between 0 and {last}", fix)
        raise site.error(wrong)


def check_bounds(value: Any, counted: Tensor | None, site: Site) -> None:
    """Refuses weights and factors below 0, infinite or NaN, as the language does for written ones."""
    seen = values_of(torch.tensor(value) if isinstance(value, (int, float)) else value)
    if seen is None:
        return
    wrong = ~((seen >= 0) & (seen < torch.inf))
    if counted is not None:
        wrong = wrong & counted
        seen = seen.expand(wrong.shape)
    if bool(wrong.any()):
        found = float(seen[wrong][0])
        raise site.error(counts.outside_bounds(site.span, site.term, site.operand, found))


def check_booleans(value: Any, site: Site, weighs: bool) -> None:
    """Refuses a mask of floats that are not 0 and 1: 0.5 and NaN would count as 1.

    `weighs` says that the loss can take a weight in its place.
    """
    seen = values_of(torch.tensor(value) if isinstance(value, (int, float)) else value)
    if seen is None or not seen.dtype.is_floating_point:
        return
    wrong = (seen != 0) & (seen != 1)
    if bool(wrong.any()):
        path, found = site.source.text[slice(*site.span)], seen[wrong]
        weighs = weighs and bool(found.isfinite().all())
        raise site.error(counts.no_mask(site.span, site.term, path, float(found[0]), weighs))


def check_option(value: Any, site: Site, bounds: tuple[tuple[str, float], ...], wanted: str) -> None:
    """Refuses an option from a tensor that lies outside of the bounds of a written one, and NaN."""
    seen = values_of(torch.tensor(value) if isinstance(value, (int, float)) else value)
    if seen is None:
        return
    found = float(seen)
    if not all(getattr(found, f"__{relation}__")(bound) for relation, bound in bounds) or found != found:
        kept = _kept(found, site, dict(bounds))
        raise site.error(
            counts.option_outside_bounds(site.span, site.term, site.operand, found, wanted, kept)
        )


def _kept(found: float, site: Site, bounds: dict[str, float]) -> str:
    """Returns how an option is written so that it stays within its bounds; '' for NaN."""
    option, path = site.operand, site.source.text[slice(*site.span)]
    least, most = bounds.get("ge", bounds.get("gt")), bounds.get("le", bounds.get("lt"))
    if least is not None and found <= least:
        # Of a bound that is hardly more than 0 nothing would remain.
        bound = f"{max(least, 1e-6) if least or 'gt' in bounds else 0:g}"
        return f"`{option}=max({path}, {bound})`, or learn its logarithm: `{option}=exp({path})`"
    return "" if most is None or not found >= most else f"`{option}=min({path}, {most:g})`"


def check_nonnegative(value: Any, site: Site) -> None:
    """Refuses values below 0."""
    seen = values_of(value)
    if seen is not None and not ends_of(seen)[0] >= 0:
        fix, path = (
            "hand over counts or shares: was the target standardised?",
            site.source.text[slice(*site.span)],
        )
        if site.operand != "target":
            fix = f"if the network predicts its logarithm, write `{site.operand}=exp({path})`"
        found = ends_of(seen)[0]
        raise site.error(labels.out_of_range(site.span, site.term, site.operand, found, "at least 0", fix))
