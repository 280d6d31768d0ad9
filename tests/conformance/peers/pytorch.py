"""torch.nn: the classes of torch/nn/modules/loss.py."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Tensor

from conformance.translation import Call, Inexpressible, Ours, Peer, times, use, width

pytorch = Peer("torch")


def between(call: Call, text: str, **batch: Any) -> Ours:
    return Ours(text, call.tensor("input"), call.tensor("target"), batch)


def reduced(call: Call) -> dict[str, Any]:
    """`reduction`, where it is not torch's default mean."""
    how = call.get("reduction", "mean")
    return {} if how == "mean" else {"reduction": how}


def weights(call: Call, theirs: str, ours: str) -> dict[str, Any]:
    """Weights per class: in the constructor they are numbers."""
    return {ours: call.get(theirs)} if call.get(theirs) is not None else {}


@pytorch.call("CrossEntropyLoss")
def cross_entropy(call: Call) -> Ours:
    options = weights(call, "weight", "class_weight")
    options |= call.same(ignore_index="ignore_index", label_smoothing="label_smoothing")
    ours = between(call, use("ce", like="torch", **options, **reduced(call)))
    if call.get("reduction", "mean") != "mean":
        return ours
    ignored = call.get("ignore_index", -100)
    why = "torch's mean over nothing is NaN; ours is 0, with a gradient of 0"
    return replace(ours, differs=call.note_where("target", lambda labels: (labels == ignored).all(), why))


@pytorch.call("NLLLoss")
def nll(call: Call) -> Ours:
    """The mean divides by the weights, as that of the cross entropy does; ours says so for `ce` alone."""
    options = weights(call, "weight", "class_weight")
    how = {"reduction": "wmean"} if options and not reduced(call) else reduced(call)
    return between(call, use("nll", like="torch", **options, **call.same(ignore_index="ignore_index"), **how))


@pytorch.call("BCELoss", "BCEWithLogitsLoss")
def bce(call: Call) -> Ours:
    """`weight` is of elements here, and broadcasts from the last axis on."""
    pred: Tensor = call.tensor("input")
    options, const = weights(call, "pos_weight", "pos_weight"), dict[str, Any]()
    if call.get("weight") is not None:
        if pred.ndim != 2:
            raise Inexpressible("a weight along the last axis, which is not that of the classes")
        options["weight"] = "const.weight"
        const["weight"] = [call.get("weight")]
    activation = "sigmoid" if call.callable == "BCEWithLogitsLoss" else ""
    text = use("bce", activation, like="torch", **options, **reduced(call))
    return replace(between(call, text), const=const)


ELEMENTS: dict[str, tuple[str, dict[str, str]]] = {
    "MSELoss": ("mse", {}),
    "L1Loss": ("l1", {}),
    "SmoothL1Loss": ("smooth_l1", {"beta": "beta"}),
    "HuberLoss": ("huber", {"delta": "delta"}),
    "PoissonNLLLoss": ("poisson_nll", {"log_input": "log_input", "full": "full", "eps": "eps"}),
    "SoftMarginLoss": ("logistic", {}),
    "HingeEmbeddingLoss": ("hinge_embedding", {"margin": "margin"}),
}


@pytorch.call(*ELEMENTS)
def element(call: Call) -> Ours:
    name, options = ELEMENTS[call.callable]
    return between(call, use(name, like="torch", **call.same(**options), **reduced(call)))


@pytorch.call("GaussianNLLLoss")
def gaussian_nll(call: Call) -> Ours:
    options = call.same(full="full", eps="eps")
    text = use("gaussian_nll", like="torch", variance="batch.var", **options, **reduced(call))
    return between(call, text, var=call.tensor("var"))


@pytorch.call("KLDivLoss")
def kl_div(call: Call) -> Ours:
    """The input is log-probabilities. torch's mean counts the classes too, which is no divergence."""
    how = call.get("reduction", "mean")
    if how == "none":
        raise Inexpressible("kl is one number per sample: t (log t - log p) of one class is no divergence")
    target = {"target": "exp(target)"} if call.get("log_target", False) else {}
    factor = 1 / width(call.tensor("input")) if how == "mean" else 1
    return between(call, times(factor, use("kl", "exp", **target, reduction=how)))


@pytorch.call("MultiMarginLoss")
def multi_margin(call: Call) -> Ours:
    options = call.same(p="p", margin="margin") | weights(call, "weight", "class_weight")
    if "class_weight" in options and call.get("reduction", "mean") == "mean":
        options["reduction"] = "mean"
    return between(call, use("multi_margin", like="torch", **options, **reduced(call)))


@pytorch.call("MultiLabelSoftMarginLoss")
def multilabel_soft_margin(call: Call) -> Ours:
    """`bce` of every class with a mean over the classes first, which a mean over all is."""
    if call.get("reduction", "mean") != "mean":
        raise Inexpressible("a mean over the classes alone")
    return between(call, use("bce", "sigmoid", like="torch", **weights(call, "weight", "class_weight")))


@pytorch.call("MultiLabelMarginLoss")
def multilabel_margin(call: Call) -> Ours:
    raise Inexpressible("a target that lists the true classes up to a -1: ours is one yes or no per class")


@pytorch.call("CosineEmbeddingLoss")
def cosine_embedding(call: Call) -> Ours:
    text = use("cosine_embedding", like="torch", **call.same(margin="margin"), **reduced(call))
    batch = {"sign": call.tensor("target")}
    return Ours(f"{text}@(pred, target, batch.sign)", call.tensor("input1"), call.tensor("input2"), batch)


@pytorch.call("MarginRankingLoss")
def margin_ranking(call: Call) -> Ours:
    text = use("margin_ranking", like="torch", **call.same(margin="margin"), **reduced(call))
    batch = {"sign": call.tensor("target")}
    return Ours(f"{text}@(pred, target, batch.sign)", call.tensor("input1"), call.tensor("input2"), batch)


@pytorch.call("TripletMarginLoss")
def triplet(call: Call) -> Ours:
    if call.get("eps", 1e-6) != 1e-6:
        raise Inexpressible("another eps inside of the distances")
    options = call.same(margin="margin", p="p", swap="swap") | reduced(call)
    batch = {"positive": call.tensor("positive"), "negative": call.tensor("negative")}
    text = f"{use('triplet', **options)}@(pred, batch.positive, batch.negative)"
    return Ours(text, call.tensor("anchor"), None, batch)
