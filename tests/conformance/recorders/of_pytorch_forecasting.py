"""pytorch-forecasting 1.8.0: (batch, time), every step of which counts."""

from __future__ import annotations

from typing import Any

from conformance.recorders.given import Given, of
from conformance.recorders.loaders import load

NAMES = {
    "l1": "MAE",
    "rmse": "RMSE",
    "mape": "MAPE",
    "smape": "SMAPE",
    "poisson_nll": "PoissonLoss",
    "tweedie": "TweedieLoss",
}


def _plain(loss: str, name: str) -> None:
    @of("pytorch_forecasting", loss)
    def call(given: Given) -> Any:
        point = load(
            "pytorch_forecasting.metrics.point",
            bare=("pytorch_forecasting", "pytorch_forecasting.metrics"),
            stand_ins=(
                "lightning",
                "lightning.pytorch",
                "lightning.pytorch.utilities",
                "lightning.pytorch.utilities.parsing",
            ),
        )
        options = {"p": given.number("p")} if loss == "tweedie" and given.text("p") else {}
        metric = getattr(point, name)(**options)
        if given.pred.ndim != 2:
            raise TypeError("(batch, time)")
        return metric(given.pred.unsqueeze(-1), given.target)


for _loss, _name in NAMES.items():
    _plain(_loss, _name)
