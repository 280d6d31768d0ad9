"""optax.losses: one value per example, never reduced; a single example has no batch axis."""

from __future__ import annotations

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
    name, renamed = NUMBERS[call.callable]
    target = call.tensor("targets")
    options = call.same(**renamed) | ({"target": 0} if target is None else {})
    return Ours(use(name, **options, reduction="none"), call.tensor("predictions"), target)


@optax.call("cosine_distance", "cosine_similarity")
def cosine(call: Call) -> Ours:
    """The similarity is 1 less the distance, row by row."""
    call.refuse("epsilon")
    pred, target = call.tensor("predictions"), call.tensor("targets")
    text = use("cosine", reduction="none")
    if call.callable == "cosine_distance":
        return Ours(text, pred, target)
    return Ours(f"const.one*(1 - {text})", pred, target, const={"one": [1.0]})


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
    if where is None:
        return Ours(use("ce", like="optax", reduction="none"), pred, target)
    operands = {"pred": "pred - 1e30*(1 - batch.where)", "target": "target*batch.where"}
    held = {"where": where.to(call.dtype).reshape(pred.shape)}
    return Ours(use("ce", like="optax", **operands, reduction="none"), pred, target, held)


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


@optax.call("generalized_kl_divergence")
def generalized_kl(call: Call) -> Ours:
    """Summed over the classes: of one example, that is everything."""
    if call.tensor("log_predictions").ndim > 1:
        raise Inexpressible("a sum over the last axis alone")
    text = use("generalized_kl", like="optax", reduction="sum")
    return Ours(text, *examples(call, "log_predictions", "targets"))


@optax.call("kl_divergence", "kl_divergence_with_log_targets")
def kl(call: Call) -> Ours:
    """The prediction is log-probabilities."""
    if call.callable == "kl_divergence_with_log_targets":
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
    text = use(MARGINS[call.callable], reduction="none")
    return Ours(text, *elements(call, "predictor_outputs", "targets"))


@optax.call("sparsemax_loss", "multiclass_sparsemax_loss")
def sparsemax(call: Call) -> Ours:
    raise Inexpressible("sparsemax")


@optax.call("sigmoid_binary_logistic", "binary_logistic_loss")
def logistic(call: Call) -> Ours:
    """0 and 1 are the labels here, as our integers may be."""
    return Ours(use("logistic", reduction="none"), call.tensor("logits"), call.tensor("labels").long())
