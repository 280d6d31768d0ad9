"""scikit-learn 1.9.1: its metrics, of one number for each sample or a row of them."""

from __future__ import annotations

from typing import Any

from conformance.recorders.given import Given, of
from conformance.recorders.loaders import load

PLAIN = {
    "mse": "mean_squared_error",
    "l1": "mean_absolute_error",
    "rmse": "root_mean_squared_error",
    "msle": "mean_squared_log_error",
    "hinge": "hinge_loss",
}


def _plain(loss: str, function: str) -> None:
    @of("sklearn", loss)
    def call(given: Given) -> Any:
        found = getattr(load("sklearn.metrics"), function)
        return found(given.target.numpy(), given.pred.numpy())


for _loss, _function in PLAIN.items():
    _plain(_loss, _function)


@of("sklearn", "quantile")
def quantile(given: Given) -> Any:
    found = load("sklearn.metrics").mean_pinball_loss
    return found(given.target.numpy(), given.pred.numpy(), alpha=given.number("q", 0.5))


@of("sklearn", "ce")
def ce(given: Given) -> Any:
    """`log_loss`, of given probabilities of rows."""
    given.needs("identity")
    classes = list(range(given.channels))
    return load("sklearn.metrics").log_loss(given.indices.numpy(), given.pred.numpy(), labels=classes)
