"""Objectives of other libraries: words under our keys that are theirs, and are left alone.

Taken on 2026-11-30 from scikit-learn 1.9.1 (the constraints of its estimators), XGBoost 3.2.0 (the
candidates that it lists) and LightGBM 4.7.0 (the names that it trains with). A word that is ours too, such
as `huber`, is read as ours; under `loss` so is one that losslang knows by another spelling, as `poisson`.
"""

from __future__ import annotations

import re

from losslang.diagnostics.elsewhere import NAMES
from losslang.registry import current_registry

XGBOOST = (
    "reg: squarederror squaredlogerror logistic pseudohubererror absoluteerror quantileerror gamma tweedie linear; "
    "binary: logistic logitraw hinge; count: poisson; survival: cox aft; multi: softmax softprob; "
    "rank: ndcg map pairwise"
)
LIGHTGBM = (
    "regression regression_l2 l2 mean_squared_error mse l2_root root_mean_squared_error rmse regression_l1 l1 "
    "mean_absolute_error mae huber fair poisson quantile mape mean_absolute_percentage_error gamma tweedie binary "
    "multiclass softmax multiclassova multiclass_ova ova ovr cross_entropy xentropy cross_entropy_lambda xentlambda "
    "lambdarank rank_xendcg xendcg xe_ndcg xe_ndcg_mart xendcg_mart"
)
SKLEARN_CRITERION = (
    "gini entropy log_loss squared_error friedman_mse absolute_error poisson aic bic threshold k_best"
)
SKLEARN_LOSS = (
    "log_loss exponential squared_error absolute_error huber quantile poisson gamma linear square hinge squared_hinge "
    "perceptron modified_huber epsilon_insensitive squared_epsilon_insensitive"
)


def _of_xgboost() -> set[str]:
    """`binary:logistic` and the like."""
    groups = (group.split(":") for group in XGBOOST.split("; "))
    return {f"{task}:{name}" for task, names in groups for name in names.split()}


WORDS: dict[str, set[str]] = {
    "objective": _of_xgboost() | set(LIGHTGBM.split()),
    "criterion": set(SKLEARN_CRITERION.split()),
    "loss": set(SKLEARN_LOSS.split()),
}
"""The words of other libraries, by the last name of the key above them."""


def is_theirs(path: str, text: str) -> bool:
    """True if a value under a key is a word of another library, and none of ours."""
    last = re.sub(r"(\[\d+\])+$", "", path).rpartition(".")[2]
    word = text.strip()
    if word not in WORDS.get(last, ()) or (last == "loss" and word in NAMES):
        return False
    return current_registry().loss(word) is None
