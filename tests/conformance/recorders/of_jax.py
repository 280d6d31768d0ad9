"""optax 0.2.8 and keras 3.15.1, on the backend of torch: classes are the last axis there."""

from __future__ import annotations

import os
from typing import Any

import torch

from conformance.recorders.given import Given, SkippedError, of
from conformance.recorders.loaders import load


def _optax() -> Any:
    os.environ["JAX_ENABLE_X64"] = "1"
    return load("optax.losses")


def _last(value: torch.Tensor) -> Any:
    """Classes last, as numpy."""
    return value.movedim(1, -1).numpy() if value.ndim > 1 else value.numpy()


def _labels(given: Given) -> Any:
    return given.target.numpy() if given.form == "indices" else _last(given.target)


def _mean(values: Any, given: Given) -> Any:
    """optax never reduces."""
    if given.reduction == "none":
        return values.tolist()
    return values.sum() if given.reduction == "sum" else values.mean()


@of("optax", "ce")
def ce(given: Given) -> Any:
    given.needs("softmax")
    kind = "softmax_cross_entropy" + ("_with_integer_labels" if given.form == "indices" else "")
    return _mean(getattr(_optax(), kind)(_last(given.pred), _labels(given)), given)


@of("optax", "poly")
def poly(given: Given) -> Any:
    given.needs("softmax")
    epsilon = given.number("epsilon", 2.0)
    values = _optax().poly_loss_cross_entropy(_last(given.pred), _last(given.dense), epsilon=epsilon)
    return _mean(values, given)


@of("optax", "bce")
def bce(given: Given) -> Any:
    given.needs("sigmoid")
    return _mean(_optax().sigmoid_binary_cross_entropy(given.pred.numpy(), given.dense.numpy()), given)


@of("optax", "focal")
def focal(given: Given) -> Any:
    given.needs("sigmoid")
    options = {"alpha": given.number("alpha"), "gamma": given.number("gamma", 2.0)}
    return _mean(_optax().sigmoid_focal_loss(given.pred.numpy(), given.dense.numpy(), **options), given)


def _dice(given: Given, **options: Any) -> Any:
    """Of one channel after a sigmoid; its softmax is over the last axis."""
    if given.activation == "sigmoid":
        if given.channels > 1:
            raise TypeError("one channel")
        pred, target = given.pred[:, 0, ..., None], given.dense[:, 0, ..., None]
        return _optax().binary_dice_loss(pred.numpy(), target.numpy(), **options).mean()
    if given.activation == "identity" and not given.sums_to_one:
        raise SkippedError
    values = _optax().dice_loss(
        _last(given.pred),
        _last(given.dense),
        apply_softmax=given.activation == "softmax",
        class_weights=None if given.class_weight is None else _weights(given),
        ignore_background=not given.is_true("background", default=True),
        **options,
    )
    return values.mean()


def _weights(given: Given) -> Any:
    import jax.numpy

    return jax.numpy.asarray(given.class_weight)


@of("optax", "dice")
def dice(given: Given) -> Any:
    """Its smoothing stands beside the overlap, once: half of ours."""
    return _dice(given, smooth=given.number("smooth", 1.0))


@of("optax", "tversky")
def tversky(given: Given) -> Any:
    if given.activation == "sigmoid":
        raise TypeError("softmax")
    return _dice(given, smooth=given.number("smooth", 1.0), alpha=given.number("alpha", 0.5))


@of("optax", "multiclass_hinge")
def multiclass_hinge(given: Given) -> Any:
    """Of one row at a time."""
    import jax

    found = jax.vmap(_optax().multiclass_hinge_loss)
    if given.pred.ndim != 2:
        raise TypeError("rows")
    return _mean(found(given.pred.numpy(), given.indices.numpy()), given)


@of("optax", "kl")
def kl(given: Given) -> Any:
    if bool((given.pred > 0).any()):
        raise SkippedError
    values = _optax().kl_divergence(_last(given.pred), _last(given.target))
    return _mean(values, given)


@of("optax", "generalized_kl")
def generalized_kl(given: Given) -> Any:
    values = _optax().generalized_kl_divergence(given.pred.numpy(), given.target.numpy())
    return _mean(values, given)


@of("optax", "listwise_softmax")
def listwise_softmax(given: Given) -> Any:
    """A list is the last axis; a mean over everything."""
    return _optax().ranking_softmax_loss(given.pred.numpy(), given.target.numpy())


@of("optax", "infonce")
def infonce(given: Given) -> Any:
    both = torch.cat([given.pred, given.target])
    labels = torch.arange(len(given.pred)).repeat(2)
    temperature = given.number("temperature", 0.07)
    return _optax().ntxent(both.numpy(), labels.numpy(), temperature=temperature)


@of("optax", "triplet")
def triplet(given: Given) -> Any:
    return _mean(
        _optax().triplet_margin_loss(
            *(v.numpy() for v in given.pred.values()),
            margin=given.number("margin", 1.0),
            norm_degree=given.number("p", 2.0),
        ),
        given,
    )


@of("optax", "cosine")
def cosine(given: Given) -> Any:
    return _mean(_optax().cosine_distance(given.pred.numpy(), given.target.numpy()), given)


PLAIN = {"half_mse": "l2_loss", "huber": "huber_loss", "log_cosh": "log_cosh", "hinge": "hinge_loss",
         "perceptron": "perceptron_loss"}  # fmt: skip


def _plain(loss: str, function: str) -> None:
    @of("optax", loss)
    def call(given: Given) -> Any:
        options = {"delta": given.number("delta", 1.0)} if loss == "huber" else {}
        return _mean(getattr(_optax(), function)(given.pred.numpy(), given.target.numpy(), **options), given)


for _loss, _function in PLAIN.items():
    _plain(_loss, _function)


# ------------------------------------------------------------------------- keras


def _keras() -> Any:
    os.environ["KERAS_BACKEND"] = "torch"
    keras = load("keras")
    keras.config.set_floatx("float64")
    return keras.losses


def _reduction(given: Given) -> str | None:
    """Ours is a mean over what keras calls samples: every row of the last axis."""
    return {"mean": "sum_over_batch_size", "sum": "sum", "none": None}[given.reduction]


def _given(loss: Any, given: Given) -> Any:
    return loss(given.dense.movedim(1, -1), given.pred.movedim(1, -1))


@of("keras", "ce")
def keras_ce(given: Given) -> Any:
    smoothing, index = given.number("label_smoothing", 0.0), given.ignore_index
    options: dict[str, Any] = {"from_logits": given.activation == "softmax", "reduction": _reduction(given)}
    if given.form == "indices" and not smoothing:
        loss = _keras().SparseCategoricalCrossentropy(ignore_class=index, **options)
        return loss(given.target, given.pred.movedim(1, -1))
    if index is not None:
        raise TypeError("of indices")
    return _given(_keras().CategoricalCrossentropy(label_smoothing=smoothing, **options), given)


@of("keras", "bce")
def keras_bce(given: Given) -> Any:
    """Its smoothing is ours; its sum is that of the means over the last axis."""
    given.needs("sigmoid", "identity")
    loss = _keras().BinaryCrossentropy(
        from_logits=given.activation == "sigmoid",
        label_smoothing=given.number("label_smoothing", 0.0),
        reduction=_reduction(given),
    )
    return _given(loss, given)


@of("keras", "focal")
def keras_focal(given: Given) -> Any:
    """Without `apply_class_balancing`, the categorical one without its factor of 0.25."""
    alpha, gamma = given.number("alpha"), given.number("gamma", 2.0)
    given.needs("sigmoid", "identity")
    loss = _keras().BinaryFocalCrossentropy(
        apply_class_balancing=alpha is not None,
        alpha=0.25 if alpha is None else alpha,
        gamma=gamma,
        from_logits=given.activation == "sigmoid",
        reduction=_reduction(given),
    )
    return _given(loss, given)


@of("keras", "gce")
def keras_gce(given: Given) -> Any:
    given.needs("identity")
    loss = _keras().CategoricalGeneralizedCrossEntropy(q=given.number("q", 0.5), reduction=_reduction(given))
    return loss(given.indices, given.pred.movedim(1, -1))


@of("keras", "kl")
def keras_kl(given: Given) -> Any:
    if bool((given.pred < 0).any()):
        raise SkippedError
    loss = _keras().KLDivergence(reduction=_reduction(given))
    return loss(given.target.movedim(1, -1), given.pred.movedim(1, -1))


@of("keras", "gdl")
def keras_gdl(given: Given) -> Any:
    """Dice: everything is one region."""
    loss = _keras().Dice(reduction=_reduction(given))
    return loss(given.dense.movedim(1, -1), given.probabilities.movedim(1, -1))


@of("keras", "circle")
def keras_circle(given: Given) -> Any:
    """It makes no rows of length 1."""
    loss = _keras().Circle(margin=given.number("margin", 0.4), reduction=_reduction(given))
    return loss(given.target, torch.nn.functional.normalize(given.pred))


KERAS = {
    "mse": "MeanSquaredError", "l1": "MeanAbsoluteError", "huber": "Huber", "log_cosh": "LogCosh", "hinge": "Hinge",
    "squared_hinge": "SquaredHinge", "msle": "MeanSquaredLogarithmicError", "poisson_nll": "Poisson",
}  # fmt: skip


def _of_keras(loss: str, name: str) -> None:
    @of("keras", loss)
    def call(given: Given) -> Any:
        options = {"delta": given.number("delta", 1.0)} if loss == "huber" else {}
        return getattr(_keras(), name)(reduction=_reduction(given), **options)(given.target, given.pred)


for _loss, _name in KERAS.items():
    _of_keras(_loss, _name)
