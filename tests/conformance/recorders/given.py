"""What a recorder is given, and the points that each kind of loss is recorded at."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from conformance.points import IGNORED, WEIGHTS, Point
from conformance.recorders.calls import SHAPES, views

Recorder = Callable[["Given"], Any]
RECORDERS: dict[str, dict[str, Recorder]] = {}
"""Library, loss: the call."""


class SkippedError(Exception):
    """The library cannot be asked this: its own checks want other values, not another program."""


class Given:
    """A point with its tensors. Every option that is asked for is one that the library has."""

    def __init__(self, point: Point, tensors: dict[str, Any]):
        self.activation = point.activation
        self.form = point.inputs.split()[-1].removesuffix("-ignored")
        self.pred, self.target, self.batch = tensors["pred"], tensors["target"], tensors["batch"]
        self._options = dict(point.options)
        self.read: set[str] = set()
        """The options that the library has."""

    @property
    def pos_weight(self) -> Tensor | None:
        """A number, or one for each class, in the prediction's type."""
        said = self.text("pos_weight")
        return None if said is None else torch.tensor(json.loads(said), dtype=self.pred.dtype)

    def text(self, name: str) -> str | None:
        self.read.add(name)
        return self._options.get(name)

    def number(self, name: str, default: Any = None) -> Any:
        said = self.text(name)
        return default if said is None else float(said)

    @property
    def ignore_index(self) -> int | None:
        said = self.text("ignore_index")
        return None if said is None else int(said)

    @property
    def class_weight(self) -> list[float] | None:
        return None if self.text("class_weight") is None else list(WEIGHTS)

    @property
    def weights(self) -> Tensor | None:
        """The class weights as a tensor of the prediction's type."""
        held = self.class_weight
        return None if held is None else torch.tensor(held, dtype=self.pred.dtype)

    @property
    def reduction(self) -> str:
        return self.text("reduction") or "mean"

    def is_true(self, name: str, *, default: bool = False) -> bool:
        said = self.text(name)
        return default if said is None else said == "true"

    @property
    def sums_to_one(self) -> bool:
        """Whether the prediction is probabilities over the classes."""
        return bool((self.pred.sum(1) - 1).abs().max() < 1e-6)

    @property
    def probabilities(self) -> Tensor:
        """The prediction after its activation, for a loss that has none of its own."""
        if self.activation == "softmax":
            return self.pred.softmax(1)
        return self.pred.sigmoid() if self.activation == "sigmoid" else self.pred

    @property
    def channels(self) -> int:
        return self.pred.shape[1]

    @property
    def indices(self) -> Tensor:
        """Class indices (B, *S), made by the caller of what is one-hot; a soft truth has none."""
        if self.form == "indices":
            return self.target
        if self.form == "soft":
            raise TypeError("indices, not a soft truth")
        if self.channels == 1:
            return self.target[:, 0].long()
        return self.target.argmax(1).masked_fill((self.target == IGNORED).all(1), IGNORED)

    @property
    def dense(self) -> Tensor:
        """A truth of the prediction's shape, made by the caller of class indices."""
        if self.form != "indices":
            return self.target
        ignored = self.target == IGNORED
        labels = self.target.masked_fill(ignored, 0)
        made = torch.nn.functional.one_hot(labels, self.channels).movedim(-1, 1)
        return made.masked_fill(ignored.unsqueeze(1), IGNORED).to(self.pred.dtype)

    def needs(self, *activations: str) -> None:
        """Refuses every other activation."""
        if self.activation not in activations:
            raise TypeError(f"{self.activation} of {activations}")


def of(library: str, *losses: str) -> Callable[[Recorder], Recorder]:
    def register(recorder: Recorder) -> Recorder:
        for loss in losses:
            RECORDERS.setdefault(library, {})[loss] = recorder
        return recorder

    return register


# ------------------------------------------------------------------------- the points of each loss

LOGITS = ("",)
PROBS = ("sigmoid", "softmax", "identity")
CLASSED: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    # activations, forms of the truth, options beside the universal ones
    "focal": (PROBS, ("dense", "indices", "soft"), ("gamma=1.5", "alpha=0.3")),
    "ce": (("softmax", "identity"), ("indices", "dense", "soft"), ("label_smoothing=0.2",)),
    "nll": (("",), ("indices",), ()),
    "bce": (
        PROBS,
        ("dense", "indices", "soft"),
        ("label_smoothing=0.2", "pos_weight=2", "pos_weight=[1.0, 2.0, 0.5]"),
    ),
    "dice": (PROBS, ("dense", "indices", "soft"), ("smooth=0.5", "squared=true")),
    "jaccard": (PROBS, ("dense", "indices", "soft"), ("smooth=0.5",)),
    "tversky": (PROBS, ("dense", "indices", "soft"), ("smooth=0.5", "alpha=0.3")),
    "gdl": (PROBS, ("dense", "indices", "soft"), ("smooth=0.5",)),
    "lovasz_hinge": (LOGITS, ("dense", "indices", "soft"), ()),
    "lovasz_softmax": (("softmax", "identity", "sigmoid"), ("indices", "dense", "soft"), ()),
    "mcc": (PROBS, ("dense", "indices", "soft"), ()),
    "unified_focal": (PROBS, ("dense", "indices", "soft"), ()),
    "balanced_bce": (PROBS, ("dense", "indices", "soft"), ()),
    "quality_focal": (PROBS, ("soft", "dense"), ()),
    "varifocal": (PROBS, ("soft", "dense"), ("gamma=1.5",)),
    "gaussian_focal": (PROBS, ("soft",), ()),
    "ghm_c": (PROBS, ("dense", "indices", "soft"), ()),
    "asl": (PROBS, ("dense", "indices", "soft"), ("gamma_neg=2",)),
    "asl_single": (("softmax",), ("indices", "dense", "soft"), ()),
    "poly": (("softmax", "identity"), ("indices", "dense", "soft"), ("epsilon=1",)),
    "gce": (("softmax", "identity"), ("indices", "dense", "soft"), ("q=0.3",)),
    "hausdorff_dt": (PROBS, ("dense", "indices", "soft"), ("alpha=1",)),
    "hausdorff_er": (PROBS, ("dense", "indices", "soft"), ("k=3",)),
    "multi_margin": (LOGITS, ("indices",), ("margin=0.5",)),
    "multiclass_hinge": (LOGITS, ("indices", "dense"), ()),
    "multilabel_margin": (LOGITS, ("dense", "indices"), ()),
}
REGION = {"dice", "jaccard", "tversky", "gdl", "mcc", "unified_focal", "lovasz_hinge", "lovasz_softmax"}
REGION |= {"hausdorff_dt", "hausdorff_er"}
BINARY = ("unified_focal", "hausdorff_dt")
ONLY = {"4two": (*BINARY, "lovasz_softmax", "ce"), "5two": BINARY, "5one": BINARY}
"""Shapes that only some losses are recorded at."""
OTHERS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "iou": (("boxes 1", "boxes 2", "boxes 3"), ("mode=linear", "mode=log")),
    "kl": (("logits distributions", "logits distributions3", "logits logs", "logits logs3"), ()),
    "dfl": (("logits position", "logits position3"), ()),
    "listwise_softmax": (("logits scores", "logits scores1", "logits scores3"), ()),
    "gaussian_nll": (tuple(f"variance {r}" for r in "1234"), ("full=true",)),
    "margin_ranking": (tuple(f"sign {r}" for r in "1234"), ("margin=0.5",)),
    "cosine_embedding": (("signrow",), ("margin=0.5",)),
    "triplet": (("triplet 1", "triplet 2", "triplet 3"), ("margin=0.3", "p=1", "swap=true")),
    "depth_smoothness": (("smoothness",), ()),
    "mase": (("series 2", "series 3"), ()),
}
BOXES = {"giou", "diou", "ciou", "extended_iou", "bounded_iou", "eiou"}
SIGNS = {"hinge", "squared_hinge", "perceptron", "logistic", "hinge_embedding"}
POSITIVE = {"poisson_nll", "msle", "mape", "smape", "tweedie", "generalized_kl"}
IMAGES = {"ssim", "dssim", "psnr", "lncc", "tv"}
LABELLED = {"supcon", "circle", "multi_similarity"}
VIEWS = {"infonce", "barlow_twins", "vicreg", "cosine", "mnrl", "npairs"}
SINGLE = {
    "hinge": ("margin=0.5",), "squared_hinge": ("margin=0.5",), "hinge_embedding": ("margin=0.5",),
    "smooth_l1": ("beta=0.5",), "huber": ("delta=0.5",), "quantile": ("q=0.9",), "poisson_nll": ("full=true", "log_input=false"),
    "tweedie": ("p=1.2",), "psnr": ("max_val=2",), "infonce": ("temperature=0.2",), "supcon": ("temperature=0.2",),
    "circle": ("margin=0.3",), "barron": ("alpha=1",), "silog": ("lam=0.15",),
}  # fmt: skip
"""Options of losses of one form."""


def family(library: str, loss: str) -> Iterator[Point]:
    """Every point of a loss."""
    if loss in CLASSED:
        yield from _classed(library, loss)
        return
    calls, options = _calls(loss)
    for said in ("", "reduction=sum", "reduction=mean", "reduction=none", *options):
        pairs = tuple([tuple(said.split("="))] if said else [])
        for inputs in calls:
            yield Point(library, loss, "", pairs, inputs)  # type: ignore[arg-type]


def _calls(loss: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if loss in OTHERS:
        return OTHERS[loss]
    options = SINGLE.get(loss, ())
    if loss in BOXES:
        return ("boxes 1", "boxes 2", "boxes 3"), options
    if loss in SIGNS:
        return tuple(f"values {rank} signs" for rank in "1234"), options
    if loss in POSITIVE:
        return tuple(f"values {rank} positive" for rank in "1234"), options
    if loss == "silog":
        return tuple(f"values {rank} positive" for rank in "34"), options
    if loss in IMAGES:
        return ("images 3", "images 4", "images 4one", "images 5"), options
    if loss in LABELLED:
        return ("rows classes", "rows alone", "rows one", "rows apart"), options
    if loss in VIEWS:
        return ("rows views", *(("rows single", "rows cube") if loss == "cosine" else ())), options
    return tuple(f"values {rank} plain" for rank in "1234"), options


def _classed(library: str, loss: str) -> Iterator[Point]:
    activations, forms, own = CLASSED[loss]
    calls = [(rank, view, form) for rank, view, form in views() if form.removesuffix("-ignored") in forms]
    for activation in activations:
        view = activation if activation == "identity" else "logits"
        for said in _option_sets(loss, own):
            for rank, held, form in calls:
                wanted = ("sigmoid", "softmax") if view == "identity" else ("logits",)
                if held not in wanted or (held == "softmax" and rank.endswith("one")):
                    continue
                if form.endswith("-ignored") != any(o.startswith("ignore_index") for o in said):
                    continue
                if any("[" in o for o in said) and SHAPES[rank][1] != len(WEIGHTS):
                    continue
                if (said and rank not in ("2", "4", "4one")) or loss not in ONLY.get(rank, (loss,)):
                    continue
                pairs = tuple(tuple(o.split("=")) for o in said)
                yield Point(library, loss, activation, pairs, f"classes {rank} {held} {form}")  # type: ignore[arg-type]


def _option_sets(loss: str, own: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    ignored, weighed = f"ignore_index={IGNORED}", f"class_weight=[{', '.join(map(str, WEIGHTS))}]"
    yield ()
    yield (ignored,)
    yield (weighed,)
    yield (ignored, weighed)
    yield ("reduction=sum",)
    yield ("reduction=sum", ignored)
    yield ("reduction=mean",)
    yield ("reduction=mean", ignored)
    yield ("reduction=mean", weighed)
    yield ("reduction=none",)
    if loss in REGION:
        yield ("batch=true",)
        yield ("batch=false",)
        yield ("background=false",)
        yield ("batch=true", "background=false")
        yield ("ignore_index=255", "batch=false")
    for option in own:
        yield (option,)
