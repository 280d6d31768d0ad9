"""A preset of `like=`: the options that give another library's number, and for what it was compared.

    like={
        "fvcore": Preset("sigmoid", activations="sigmoid"),
        "smp": Preset("sigmoid", refuses={"class_weight": "smp divides by the sum of the weights"}),
        "torch": "",
    }

A text alone is a preset that was compared for everything that both have. tests/conformance/test_presets.py compares every
preset with numbers that the library gave, and holds what it declares against what was recorded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

PROBABILITIES = ("identity", "sigmoid", "softmax")
"""The `activations` of a loss that a library has of given probabilities."""
SUM_OF_MEANS = {
    "reduction=sum": "keras adds up the means over its last axis",
    "reduction=none": "keras keeps the means over its last axis",
}
"""What `refuses` of losses of keras that are of single elements."""
CLIPPED = "keras holds given probabilities in [1e-7, 1 - 1e-7]: a wrong certainty costs 16.1 there"
MEANS = {
    "mean_all": "its mean counts what is ignored too",
    "wmean": "its mean divides by the weights of the labels",
    "wmean_all": "its mean divides by the weights of the labels, and counts what is ignored too",
    "batchmean": "it adds up a sample, and divides by the samples",
    "mean_of_means": "its mean is that of the means of the samples",
}
"""Why the mean of a library is no plain one, by the reduction that gives it."""
MEAN_ALONE = {
    "reduction=sum": "mmdet has the mean alone",
    "reduction=none": "mmdet has the mean alone",
}


@dataclass(frozen=True)
class Preset:
    """Another library's number as a program of ours; outside of what was compared it is refused.

    `options` is what `like=` stands for. `activations` are those that it was compared after, that of `options`
    if none are named, all if there is none either. `takes` are the options that the library has too and that were
    compared: any other stands beside its number, and `explain` says so; `reduction` are `mean`, `sum` and `none`. `refuses` says why what is beside it is no number of the
    library: an activation, an option, one of its values, or several of them at once (`class_weight
    ignore_index`). `ranks` and `channels` are those of the prediction, any if none are named; `several` says
    that one channel was not compared. `truth` is the form that a truth has to have, `indices` or `dense`, like
    the prediction; `hard` says that one between 0 and 1 was not compared, `indexed` that a label to ignore was
    compared as a class index alone, `distribution` that several channels were probabilities that add up to 1.
    `note` is said by `explain`.
    """

    options: str = ""
    activations: tuple[str, ...] = ()
    takes: str = ""
    refuses: Mapping[str, str] = field(default_factory=dict[str, str], hash=False)
    ranks: tuple[int, ...] = ()
    channels: tuple[int, ...] = ()
    several: bool = False
    truth: Literal["", "indices", "dense"] = ""
    hard: bool = False
    indexed: bool = False
    distribution: bool = False
    note: str = ""

    def not_after(self, activation: str, has_classes: bool) -> str:
        """Why a number after this activation is not the library's, as far as was compared; '' if it is."""
        first = self.options.partition(",")[0]
        known = self.activations or ((first,) if first and "=" not in first else ())
        if not has_classes or not known or activation in known:
            return ""
        return f"it was compared after {' and '.join(f'`{name}`' for name in known)} alone"

    def gives(self, stated: str) -> bool:
        """Whether an option stands in the preset itself, with this value."""
        return stated in self.options.split(", ")

    def sets(self, name: str) -> bool:
        """Whether an option stands in the preset itself, with any value."""
        return any(part.startswith(f"{name}=") for part in self.options.split(", "))

    def takes_option(self, name: str) -> bool:
        """Whether the library has an option too, and was compared with it."""
        return name in self.takes.split()

    @property
    def reduction(self) -> str:
        """The reduction that stands in the preset itself; '' if none does."""
        parts = [part.partition("=") for part in self.options.split(", ")]
        return next((value for name, _, value in parts if name == "reduction"), "")

    @property
    def looks(self) -> bool:
        """Whether the shapes of a call decide too."""
        return bool(self.ranks or self.channels or self.several or self.truth)


def as_preset(declared: str | Preset) -> Preset:
    return Preset(declared) if isinstance(declared, str) else declared
