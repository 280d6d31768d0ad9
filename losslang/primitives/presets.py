"""Presets of `like=`: the options that give another library's number, and what it was compared for.

    like={
        "fvcore": Preset("sigmoid", activations="sigmoid"),
        "smp": Preset("sigmoid", refuses={"class_weight": "smp divides by the sum of the weights"}),
        "torch": "",
    }

A text alone is a preset that was compared for everything that both have. tests/conformance/test_presets.py
compares every preset with recorded numbers of the library, and what it declares with what agreed.
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
"""The `refuses` of keras losses whose values are those of single elements."""
CLIPPED = "keras holds given probabilities in [1e-7, 1 - 1e-7]: a wrong certainty costs 16.1 there"
MEANS = {
    "mean_all": "its mean counts what is ignored too",
    "wmean": "its mean divides by the weights of the labels",
    "wmean_all": "its mean divides by the weights of the labels, and counts what is ignored too",
    "batchmean": "it adds up a sample, and divides by the samples",
    "mean_of_means": "its mean is that of the means of the samples",
}
"""The difference of a library's mean from ours, by the reduction that gives its number."""
MEAN_ALONE = {
    "reduction=sum": "mmdet has the mean alone",
    "reduction=none": "mmdet has the mean alone",
}


@dataclass(frozen=True)
class Preset:
    """Another library's number as a program of ours; a use that was not compared is refused.

    Args:
        options: What `like=` stands for, as the language writes it.
        activations: Those that it was compared after; that of `options` if none are named, else any.
        takes: Options of the library that were compared too. Any other stands beside its number, and
            `explain` says so. For reductions they are `mean`, `sum` and `none`.
        refuses: Why something beside it is no number of the library: an activation, an option, one of its
            values, or several at once (`class_weight ignore_index`).
        ranks: Ranks of the prediction; any if none are named.
        channels: Numbers of its channels; any if none are named.
        several: One channel was not compared.
        truth: The form that a target must have: "indices", or "dense", like the prediction.
        hard: A target between 0 and 1 was not compared.
        indexed: A label to ignore was compared as a class index alone.
        distribution: Several channels were probabilities that add up to 1.
        note: A sentence for `explain`.
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
        """The reason why a number after this activation was not compared; '' if it was."""
        first = self.options.partition(",")[0]
        known = self.activations or ((first,) if first and "=" not in first else ())
        if not has_classes or not known or activation in known:
            return ""
        return f"it was compared after {' and '.join(f'`{name}`' for name in known)} alone"

    def gives(self, stated: str) -> bool:
        """True if the preset itself sets an option to this value: `smooth=1`."""
        return stated in self.options.split(", ")

    def sets(self, name: str) -> bool:
        """True if the preset itself sets an option, to any value."""
        return any(option.startswith(f"{name}=") for option in self.options.split(", "))

    def takes_option(self, name: str) -> bool:
        """True if the library has an option too, and was compared with it."""
        return name in self.takes.split()

    @property
    def reduction(self) -> str:
        """The reduction that the preset itself sets; '' if it sets none."""
        parts = [option.partition("=") for option in self.options.split(", ")]
        return next((value for name, _, value in parts if name == "reduction"), "")

    @property
    def looks(self) -> bool:
        """True if the preset was compared for some shapes alone, so that those of each call are checked."""
        return bool(self.ranks or self.channels or self.several or self.truth)


def as_preset(declared: str | Preset) -> Preset:
    """The Preset of a declared one, which may be its options alone."""
    return Preset(declared) if isinstance(declared, str) else declared
