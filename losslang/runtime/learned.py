"""The parameters that a compiled loss learns: one number each, under the names of the program."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from losslang.diagnostics.errors import LossError
from losslang.diagnostics.mistakes.learned import not_in_optimizer
from losslang.diagnostics.source import Source


class Learned(nn.ParameterDict):
    """Parameters by name, each one number in float32 at first. A file without one leaves it where it is."""

    def __init__(self, starts: Mapping[str, float]):
        self.starts = dict(starts)
        super().__init__({name: nn.Parameter(torch.tensor(float(start))) for name, start in starts.items()})

    def reset(self) -> None:
        """Sets every parameter to its start."""
        with torch.no_grad():
            for name, start in self.starts.items():
                self[name].fill_(start)

    def read(self) -> Mapping[str, Tensor]:
        """Returns the parameters by name."""
        return dict(self.items())

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: Any,
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """Loads what the file has; the lock text beside it tells if that is another program's."""
        rest = (local_metadata, strict, list[str](), list[str](), error_msgs)
        super()._load_from_state_dict(state_dict, prefix, *rest)  # pyright: ignore[reportUnknownMemberType]


def refuse_optimizer_without(loss: nn.Module, optimizer: torch.optim.Optimizer, source: Source) -> None:
    """Raises LossError if an optimizer lacks a parameter of a loss."""
    given = {id(p) for group in optimizer.param_groups for p in group["params"]}
    missing = [n for n, p in loss.named_parameters() if p.requires_grad and id(p) not in given]
    if missing:
        raise LossError([not_in_optimizer(source.whole, tuple(missing)).at(source)])
