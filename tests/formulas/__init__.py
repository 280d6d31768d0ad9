"""Textbook formulas of the oracle, a file for each family of losses; importing them registers them."""

from collections.abc import Callable
from typing import Any

import torch

from formulas import boxes, classes, distributions, embeddings, images, regions, robust

FAMILIES = (boxes, classes, distributions, embeddings, images, regions, robust)
Make = Callable[[torch.Generator], tuple[Any, Any, dict[str, Any]]]
DATA: dict[str, Make] = {
    name: make for family in FAMILIES for name, make in getattr(family, "DATA", {}).items()
}
"""Prediction, target and batch of the losses that want more than numbers of the usual kind."""
OTHER: dict[tuple[str, str], list[str]] = {
    key: values for family in FAMILIES for key, values in getattr(family, "OTHER", {}).items()
}
"""Values of options that differ from the default in a way that shows."""
