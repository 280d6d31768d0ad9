"""The maps of a walk through torch.compile: one pass of generated code forward, one backward.

Backward computes the maps again inside its own kernel, so that nothing is kept between the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from losslang.blocks.maps import Maps


class Inductor:
    """A form of a walk that runs on everything at once."""

    def __init__(self, maps: Maps):
        self.maps = maps
        self._parts = torch.compile(maps.parts, fullgraph=True)
        self._pulled = torch.compile(self._pull, fullgraph=True)

    def parts(self, inputs: Sequence[Any]) -> list[list[Tensor]]:
        """Every sum over these inputs."""
        return self._parts(list(inputs))

    def gradients(
        self, inputs: Sequence[Any], wanted: Sequence[bool], weights: Sequence[Sequence[Tensor]]
    ) -> list[Tensor | None]:
        """The gradient of Σ weight * part for every wanted input."""
        plain = [value.detach() if isinstance(value, Tensor) else value for value in inputs]
        flat = [w for own in weights for w in own if w.is_floating_point()]
        found = iter(self._pulled(plain, list(wanted), flat))
        return [next(found) if want else None for want in wanted]

    def _pull(self, inputs: list[Any], wanted: list[bool], weights: list[Tensor]) -> tuple[Tensor, ...]:
        def parts_of(*leaves: Tensor) -> list[Tensor]:
            left = iter(leaves)
            given = [next(left) if want else value for value, want in zip(inputs, wanted, strict=True)]
            return [part for own in self.maps.parts(given) for part in own if part.is_floating_point()]

        leaves = [value for value, want in zip(inputs, wanted, strict=True) if want]
        _, pull = torch.func.vjp(parts_of, *leaves)
        return pull(weights)
