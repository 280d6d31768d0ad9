"""neuralforecast.losses.pytorch: series (B, H, 1), a mean over everything."""

from __future__ import annotations

from typing import Any

import torch

from conformance.translation import Call, Ours, Peer, times, use

neuralforecast = Peer("neuralforecast")

LOSSES: dict[str, tuple[str, dict[str, str], dict[str, Any]]] = {
    "MAE": ("l1", {}, {"like": "neuralforecast"}),
    "MSE": ("mse", {}, {}),
    "RMSE": ("rmse", {}, {}),
    "MAPE": ("mape", {}, {"like": "neuralforecast"}),
    "SMAPE": ("smape", {}, {"like": "neuralforecast"}),
    "QuantileLoss": ("quantile", {"q": "q"}, {}),
    "HuberLoss": ("huber", {"delta": "delta"}, {"like": "neuralforecast"}),
    "HuberQLoss": ("huber_quantile", {"q": "q", "delta": "delta"}, {}),
}


@neuralforecast.call(*LOSSES)
def series(call: Call) -> Ours:
    name, renamed, fixed = LOSSES[call.callable]
    call.refuse("horizon_weight")
    return Ours(use(name, **fixed, **call.same(**renamed)), call.tensor("y_hat"), call.tensor("y"))


@neuralforecast.call("TukeyLoss")
def tukey(call: Call) -> Ours:
    """Inside of the window it lacks the `1 -` of the formula."""
    call.refuse("normalize")
    ours = Ours(use("tukey", **call.same(c="c")), call.tensor("y_hat"), call.tensor("y"))
    why = "neuralforecast lacks a `1 -`: an error of 0 costs most"
    return Ours(ours.text, ours.pred, ours.target, differs=why)


@neuralforecast.call("MQLoss")
def multi_quantile(call: Call) -> Ours:
    """One quantile for each entry of the last axis, held in float32, and the sum of them."""
    call.refuse("horizon_weight", "level")
    quantiles = torch.tensor(call.get("quantiles"), dtype=torch.float32).double()
    text = times(len(quantiles), use("quantile", q=quantiles))
    return Ours(text, call.tensor("y_hat"), call.tensor("y"))
