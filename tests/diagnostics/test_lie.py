"""Masks and weights that do not lie, or are too fine: every shape that a message prints lies."""

from __future__ import annotations

import re
from ast import literal_eval
from typing import Any

import pytest
import torch
from torch import Tensor

import losslang

R = torch.Generator().manual_seed(11)
FLAT = torch.randn(8, 3, generator=R), torch.randint(3, (8,), generator=R)
LAST = torch.randn(2, 6, 3, generator=R), torch.randint(3, (2, 6), generator=R)
SPACE = torch.randn(2, 3, 4, 5, generator=R), torch.randint(3, (2, 4, 5), generator=R)
ROWS = torch.randn(6, 4, generator=R), torch.randn(6, 4, generator=R)
USES = [
    ("ce", "", FLAT),
    ("ce", "channels=last", LAST),
    ("ce", "", SPACE),
    ("focal(softmax)", "", SPACE),
    ("focal(sigmoid)", "", SPACE),
    ("dice(softmax)", "", SPACE),
    ("dice(softmax)", "batch=true", SPACE),
    ("kd(target=batch.t)", "", FLAT),
    ("multi_margin", "", FLAT),
    ("cosine", "", ROWS),
    ("mse", "", ROWS),
    ("ce + 0.1*kd(target=batch.t)", "", FLAT),
]


def text_of(use: str, *options: str) -> str:
    """A use with further options in its brackets, the last loss's if there are several."""
    kept = [option for option in options if option]
    return f"{use[:-1]}, {', '.join(kept)})" if use.endswith(")") else f"{use}({', '.join(kept)})"


def shapes_of(code: str, text: str, tensors: tuple[Tensor, Tensor], **batch: Any) -> list[tuple[int, ...]]:
    """The shapes that the repair of a call offers."""
    with pytest.raises(losslang.LossError) as caught:
        losslang.compile(text)(*tensors, t=tensors[0], **batch)
    (found,) = caught.value.diagnostics
    assert found.code == code
    offered = found.fix.partition("; ")[0].partition("give it the shape ")[2]
    return [literal_eval(shape) for shape in re.findall(r"\([\d, ]*\)", offered)]


@pytest.mark.parametrize("option", ["mask", "weight"])
@pytest.mark.parametrize(("use", "more", "tensors"), USES)
def test_every_shape_that_is_offered_lies(use: str, more: str, tensors: Any, option: str) -> None:
    text = text_of(use, more, f"{option}=batch.w")
    offered = shapes_of("E509", text, tensors, w=torch.ones(7))
    assert offered
    for shape in offered:
        assert losslang.compile(text)(*tensors, t=tensors[0], w=torch.ones(shape)).isfinite()


@pytest.mark.parametrize(
    ("text", "tensors", "found", "offered"),
    [
        ("ce(mask=batch.w)", FLAT, (8, 3), [(8,), (8, 1)]),
        ("ce(weight=batch.w)", FLAT, (8, 3), [(8,), (8, 1)]),
        ("ce(mask=batch.w, channels=last)", LAST, (2, 6, 3), [(2, 6), (2, 6, 1)]),
        ("kd(target=batch.t, mask=batch.w, channels=last)", LAST, (2, 6, 3), [(2, 6), (2, 6, 1)]),
        ("ce(mask=batch.w)", SPACE, (2, 3, 4, 5), [(2, 4, 5), (2, 1, 4, 5)]),
        ("focal(softmax, weight=batch.w)", SPACE, (2, 3, 4, 5), [(2, 4, 5), (2, 1, 4, 5)]),
        ("dice(softmax, weight=batch.w)", SPACE, (2, 3, 4, 5), [(2,)]),
        ("multi_margin(weight=batch.w)", FLAT, (8, 3), [(8,), (8, 1)]),
        ("dice(softmax, batch=true, weight=batch.w)", SPACE, (2, 1, 1, 1), [(1, 3, 1, 1)]),
        ("cosine(mask=batch.w)", ROWS, (6, 4), [(6,), (6, 1)]),
    ],
)
def test_what_is_too_fine_is_told_the_shapes_that_are_not(
    text: str, tensors: Any, found: tuple[int, ...], offered: list[tuple[int, ...]]
) -> None:
    assert shapes_of("E510", text, tensors, w=torch.ones(found)) == offered
    for shape in offered:
        assert losslang.compile(text)(*tensors, t=tensors[0], w=torch.ones(shape)).isfinite()


def test_a_vector_of_channels_is_not_offered_to_values_without_them() -> None:
    loss = losslang.compile("ce(weight=const.w)", const={"w": torch.ones(5)})
    with pytest.raises(losslang.LossError, match=r"give it the shape \(8, 1\) or \(8,\)"):
        loss(*FLAT)
