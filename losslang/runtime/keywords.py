"""Keywords of a call that nothing reads, whose names say that somebody expects an effect.

They are looked at once for each set of names that a program is called with, never while torch traces.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, cast

from losslang.diagnostics.elsewhere import nearest
from losslang.diagnostics.mistakes.inputs import further_by_position, keyword_without_effect
from losslang.diagnostics.source import Source
from losslang.meaning.checker import analyze
from losslang.meaning.meaning import Input, LossUse, show
from losslang.meaning.program import Meaning
from losslang.plan.operations.notices import warn_once
from losslang.plan.plan import Plan
from losslang.registry import Registry
from losslang.syntax import tree
from losslang.syntax.respelling import routed, with_option
from losslang.tensors.eager import traces
from losslang.tensors.lazy import torch
from losslang.tensors.targets import Site

OF_TENSORS = {
    "avg_factor": ("avg_factor", "num_items_in_batch", "num_items", "normalizer", "n", "n_valid"),
    "weight": (
        "weight",
        "weights",
    ),
    "mask": ("mask", "masks", "valid"),
    "class_weight": ("class_weight", "class_weights"),
    "pos_weight": ("pos_weight",),
}
"""Options that read a tensor of the call, and the keywords by which other losses take it."""
OF_VALUES = ("reduction", "ignore_index", "label_smoothing")
"""Options that are written in the program."""
OF_MODELS = ("attention_mask", "token_type_mask")
"""Inputs of models, which a batch that is handed over as a whole holds too."""
OPTION = {name: option for option, names in OF_TENSORS.items() for name in names}
SHORTEST = 5
"""The letters of a keyword that may be a misspelled one."""
MISSPELLED = [name for name in OPTION if len(name) > SHORTEST - 2]


class Keywords:
    """What a program reads of the keywords of a call; `known` are the sets of names that were looked at."""

    def __init__(self, plan: Plan, meaning: Meaning, registry: Registry):
        self.meaning = meaning
        self.registry = registry
        paths = [dict(step.options)["path"] for step in plan.inputs]
        self.read = {_first(path) for path in paths if isinstance(path, Input) and path.root == "batch"}
        self.known: set[tuple[str, ...]] = set()

    def refuse_positional(self, further: Sequence[Any], batch: Mapping[str, Any]) -> NoReturn:
        """Raises LossError for tensors behind the target that are handed over without a name."""
        names = [name for name in sorted(self.read) if name not in batch]
        fix = f"call `loss(pred, target, {', '.join(f'{name}=...' for name in [*batch, *names])})`"
        if not names:
            is_weight = isinstance(further[0], torch.Tensor) and further[0].is_floating_point()
            option = "weight" if is_weight else "mask"
            written = self._written(option, f"batch.{option}")
            fix = "leave it out: this program reads no keyword"
            if written:
                fix = f"write {written} and call `loss(pred, target, {option}=...)`"
        raise self.whole.error(further_by_position(self.whole.span, 2 + len(further), fix))

    @property
    def whole(self) -> Site:
        """The whole program."""
        return Site("", "", self.meaning.source.whole, self.meaning.source)

    def look(self, batch: Mapping[str, Any], pred: Any) -> None:
        """Warns of keywords that nothing reads and that should have an effect."""
        if traces():
            return
        whole = self.whole
        for name in batch:
            fix = "" if name in self.read else self._fix(name, batch, pred)
            if fix:
                warn_once(whole, keyword_without_effect(whole.span, name, fix))
        self.known.add(tuple(batch))

    def _fix(self, name: str, batch: Mapping[str, Any], pred: Any) -> str:
        """The repair of a keyword that nothing reads; '' for one that expects no effect."""
        option = _option(name)
        if option is not None:
            return self._by_option(option, name, batch[name], pred)
        # What is read and not handed over is refused by itself.
        meant = nearest(
            name, (known for known in MISSPELLED if known not in batch and known not in self.read)
        )
        if not meant or name in OF_MODELS or len(name) < SHORTEST:
            return ""
        return f"did you mean `{meant}=`? {self._by_option(OPTION[meant], name, batch[name], pred)}"

    def _by_option(self, option: str, name: str, value: Any, pred: Any) -> str:
        """The repair of a keyword that is meant for an option: a loss with it, or where it is written already."""
        fix = ""
        if option == "weight" and _is_of_classes(value, pred):
            fix = self._written("class_weight", f"batch.{name}")
        fix = fix or self._written(option, str(value) if name in OF_VALUES else f"batch.{name}")
        return fix or self._in_vain(option)

    def _in_vain(self, option: str) -> str:
        """The repair of a keyword for an option that every loss has, or that none takes."""
        values = dict.fromkeys(_value(use, option) for use in self.meaning.loss_uses)
        written = [value for value in values if value is not None]
        if not written:
            return f"no loss of this program takes `{option}`: leave the keyword out"
        said = ", ".join(f"`{option}={show(value)}`" for value in written)
        read = [_first(value) for value in written if isinstance(value, Input) and value.root == "batch"]
        meant = " or ".join(f"`{name}=`" for name in read if name)
        asked = f", or did you mean {meant}?" if meant else ""
        return f"{said} is written already: leave the keyword out{asked}"

    def _written(self, option: str, value: str) -> str:
        """The first loss that takes an option, as it is written and with the option; '' if none does."""
        source, settings = self.meaning.source, dict(self.meaning.settings)
        for use in self.meaning.loss_uses:
            longer = with_option(source.text, use.span, f"{option}={value}")
            whole = Source(source.text[: use.span.start] + longer + source.text[use.span.end :])
            if analyze(whole, overrides=settings, registry=self.registry).meaning is not None:
                return f"`{routed(source.text, use.span, longer)}`"
        return ""


def _option(name: str) -> str | None:
    """The option that a keyword is meant for by its name; None for one that expects no effect."""
    if name in OPTION or name in OF_VALUES:
        return OPTION.get(name, name)
    if name in OF_MODELS:
        return None
    if name.endswith("_mask") or name.startswith(("mask_", "valid_")):
        return "mask"
    return "weight" if name.endswith(("_weight", "_weights")) else None


def _value(use: LossUse, option: str) -> Any:
    """What a use has for an option; None if it does not write it."""
    if option == "weight" and use.factor is not None:
        return use.factor
    if option not in dict(use.spans):
        return None
    return use.reduction if option == "reduction" else dict((*use.options, *use.universal)).get(option)


def _is_of_classes(value: Any, pred: Any) -> bool:
    """True for a vector as long as a prediction has classes, and not as long as it has samples."""
    preds: list[Any] = list(cast("Mapping[str, Any]", pred).values()) if isinstance(pred, Mapping) else [pred]
    shapes = [p.shape for p in preds if isinstance(p, torch.Tensor) and p.ndim > 1]
    is_vector = isinstance(value, torch.Tensor) and value.ndim == 1
    return is_vector and any(
        value.shape[0] in (shape[1], shape[-1]) and value.shape[0] != shape[0] for shape in shapes
    )


def _first(path: Input) -> str:
    """The keyword at which a path of the batch starts; '' if the path is the whole batch."""
    step = path.steps[0] if path.steps else None
    return step.name if isinstance(step, tree.Key) else ""
