"""optax.losses: one value per example, never reduced; a single example has no batch axis."""

from __future__ import annotations

import torch
from torch import Tensor

from conformance.translation import Call, Inexpressible, Ours, Peer, use

optax = Peer("optax")

NUMBERS: dict[str, tuple[str, dict[str, str]]] = {
    "squared_error": ("mse", {}),
    "l2_loss": ("half_mse", {}),
    "huber_loss": ("huber", {"delta": "delta"}),
    "log_cosh": ("log_cosh", {}),
}


@optax.call(*NUMBERS)
def numbers(call: Call) -> Ours:
    """Without targets the prediction is the error."""
    name, renamed = NUMBERS[call.case.callable]
    target = call.tensor("targets")
    text = use(name, **call.same(**renamed), reduction="none")
    return Ours(text, call.tensor("predictions"), 0.0 if target is None else target)


@optax.call("cosine_distance", "cosine_similarity")
def cosine(call: Call) -> Ours:
    """The similarity is 1 less the distance, row by row."""
    call.refuse("epsilon")
    pred, target = call.tensor("predictions"), call.tensor("targets")
    text = use("cosine", reduction="none")
    if call.case.callable == "cosine_distance":
        return Ours(text, pred, target)
    return Ours(f"batch.one*(1 - {text})", pred, target, {"one": pred.new_ones(pred.shape[:-1])})


# ------------------------------------------------------------------------- classes


def examples(call: Call, scores: str, labels: str) -> tuple[Tensor, Tensor]:
    """Classes are last; (C,) is one example. Labels are indices or a distribution."""
    if call.get("axis", -1) != -1:
        raise Inexpressible("classes along another axis than the last")
    pred, target = call.tensor(scores), call.tensor(labels)
    if pred.ndim == 1:
        pred, target = pred.unsqueeze(0), target.unsqueeze(0)
    return pred.movedim(-1, 1), target.movedim(-1, 1) if target.ndim == pred.ndim else target


@optax.call("softmax_cross_entropy", "safe_softmax_cross_entropy")
def ce(call: Call) -> Ours:
    """A class that `where` leaves out has a logit that nothing is seen of, and no label."""
    pred, target = examples(call, "logits", "labels")
    where = call.tensor("where")
    if where is not None:
        where = where.reshape(pred.shape)
        pred, target = pred.masked_fill(~where, -1e30), target * where
    return Ours(use("ce", like="optax", reduction="none"), pred, target)


@optax.call("softmax_cross_entropy_with_integer_labels")
def ce_of_indices(call: Call) -> Ours:
    return Ours(use("ce", like="optax", reduction="none"), *examples(call, "logits", "labels"))


@optax.call("poly_loss_cross_entropy")
def poly(call: Call) -> Ours:
    options = {"like": "optax", **call.same(epsilon="epsilon"), "reduction": "none"}
    return Ours(use("poly", "softmax", **options), *examples(call, "logits", "labels"))


@optax.call("multiclass_hinge_loss")
def multiclass_hinge(call: Call) -> Ours:
    return Ours(use("multiclass_hinge", reduction="none"), *examples(call, "scores", "labels"))


@optax.call("multiclass_perceptron_loss")
def multiclass_perceptron(call: Call) -> Ours:
    """A hinge of classes without a margin."""
    return Ours(use("multiclass_hinge", margin=0, reduction="none"), *examples(call, "scores", "labels"))


@optax.call("kl_divergence", "kl_divergence_with_log_targets", "generalized_kl_divergence")
def kl(call: Call) -> Ours:
    """The prediction is log-probabilities."""
    if call.case.callable == "generalized_kl_divergence":
        pred, target = examples(call, "log_predictions", "targets")
        text = use("generalized_kl", like="optax", reduction="none")
        return Ours(text, pred, target, laid=lambda value: value.sum(1))
    if call.case.callable == "kl_divergence_with_log_targets":
        pred, target = examples(call, "log_predictions", "log_targets")
        return Ours(use("kl", like="optax", target="exp(target)", reduction="none"), pred, target)
    return Ours(use("kl", like="optax", reduction="none"), *examples(call, "log_predictions", "targets"))


# ------------------------------------------------------------------------- yes and no


def elements(call: Call, pred: str, target: str) -> tuple[Tensor, Tensor]:
    return call.tensor(pred), call.tensor(target)


@optax.call("sigmoid_binary_cross_entropy")
def bce(call: Call) -> Ours:
    return Ours(use("bce", like="optax", reduction="none"), *elements(call, "logits", "labels"))


@optax.call("sigmoid_focal_loss")
def focal(call: Call) -> Ours:
    options = call.same(alpha="alpha", gamma="gamma")
    return Ours(use("focal", like="optax", **options, reduction="none"), *elements(call, "logits", "labels"))


MARGINS = {"hinge_loss": "hinge", "perceptron_loss": "perceptron"}


@optax.call(*MARGINS)
def margins(call: Call) -> Ours:
    """Labels are -1 and +1."""
    text = use(MARGINS[call.case.callable], reduction="none")
    return Ours(text, *elements(call, "predictor_outputs", "targets"))


@optax.call("sparsemax_loss", "multiclass_sparsemax_loss")
def sparsemax(call: Call) -> Ours:
    raise Inexpressible("sparsemax")


@optax.call("sigmoid_binary_logistic", "binary_logistic_loss")
def logistic(call: Call) -> Ours:
    """0 and 1 are the labels here."""
    target = torch.where(call.tensor("labels") > 0, 1.0, -1.0)
    return Ours(use("logistic", reduction="none"), call.tensor("logits"), target)
