"""timm 1.0.31, nnunetv2, lightly 1.6.0, pytorch-metric-learning 2.9.0, and libraries of forecasts."""

from __future__ import annotations

from typing import Any

import torch

from conformance.recorders.given import Given, of
from conformance.recorders.loaders import load

# ------------------------------------------------------------------------- timm


def _timm(file: str) -> Any:
    return load(f"timm.loss.{file}", bare=("timm", "timm.loss"))


@of("timm", "ce")
def ce(given: Given) -> Any:
    given.needs("softmax")
    if given.form != "indices" and given.text("label_smoothing") is None:
        return _timm("cross_entropy").SoftTargetCrossEntropy()(given.pred, given.target)
    smoothing = given.number("label_smoothing", 0.1)
    return _timm("cross_entropy").LabelSmoothingCrossEntropy(smoothing=smoothing)(given.pred, given.indices)


@of("timm", "bce")
def bce(given: Given) -> Any:
    given.needs("sigmoid")
    loss = _timm("binary_cross_entropy").BinaryCrossEntropy(
        smoothing=given.number("label_smoothing", 0.1),
        reduction=given.reduction,
        pos_weight=given.pos_weight,
    )
    return loss(given.pred, given.target)


@of("timm", "asl")
def asl(given: Given) -> Any:
    given.needs("sigmoid")
    loss = _timm("asymmetric_loss").AsymmetricLossMultiLabel(gamma_neg=given.number("gamma_neg", 4.0))
    return loss(given.pred, given.dense)


@of("timm", "asl_single")
def asl_single(given: Given) -> Any:
    loss = _timm("asymmetric_loss").AsymmetricLossSingleLabel(reduction=given.reduction)
    return loss(given.pred, given.indices)


@of("timm", "poly")
def poly(given: Given) -> Any:
    given.needs("softmax")
    loss = _timm("poly_loss").PolyCrossEntropy(
        epsilon=given.number("epsilon", 2.0), reduction=given.reduction
    )
    return loss(given.pred, given.target)


# ------------------------------------------------------------------------- nnunet


def _nnunet(file: str) -> Any:
    return load(
        f"nnunetv2.training.loss.{file}", bare=("nnunetv2", "nnunetv2.training", "nnunetv2.utilities")
    )


@of("nnunet", "ce")
def nnunet_ce(given: Given) -> Any:
    given.needs("softmax")
    index = given.ignore_index
    loss = _nnunet("robust_ce_loss").RobustCrossEntropyLoss(
        weight=given.weights,
        ignore_index=-100 if index is None else index,
        reduction=given.reduction,
        label_smoothing=given.number("label_smoothing", 0.0),
    )
    return loss(given.pred, given.indices)


@of("nnunet", "bce")
def nnunet_bce(given: Given) -> Any:
    """The `bce` of its DC_and_BCE_loss, of regions."""
    given.needs("sigmoid")
    loss = torch.nn.BCEWithLogitsLoss(pos_weight=given.pos_weight, reduction=given.reduction)
    return loss(given.pred, given.dense)


@of("nnunet", "dice")
def nnunet_dice(given: Given) -> Any:
    """Its dice is 1 less than ours, and negative."""
    activations = {
        "sigmoid": torch.sigmoid,
        "softmax": lambda x: torch.softmax(x, 1),
        "identity": None,
    }
    loss = _nnunet("dice").SoftDiceLoss(
        apply_nonlin=activations[given.activation],
        batch_dice=given.is_true("batch"),
        do_bg=given.is_true("background", default=True),
        smooth=given.number("smooth", 1.0),
        ddp=False,
    )
    return 1 + loss(given.pred, given.dense)


# ------------------------------------------------------------------------- lightly


def _lightly(file: str) -> Any:
    return load(
        f"lightly.loss.{file}",
        bare=("lightly", "lightly.loss", "lightly.utils", "lightly.models", "lightly.models.modules"),
        stand_ins=("torchvision", "torchvision.models", "torchvision.ops"),
    )


@of("lightly", "infonce")
def infonce(given: Given) -> Any:
    loss = _lightly("ntx_ent_loss").NTXentLoss(temperature=given.number("temperature", 0.5))
    return loss(given.pred, given.target)


@of("lightly", "barlow_twins")
def barlow_twins(given: Given) -> Any:
    return _lightly("barlow_twins_loss").BarlowTwinsLoss()(given.pred, given.target)


@of("lightly", "vicreg")
def vicreg(given: Given) -> Any:
    return _lightly("vicreg_loss").VICRegLoss()(given.pred, given.target)


# ------------------------------------------------------------------------- pytorch-metric-learning


def _pml() -> Any:
    return load("pytorch_metric_learning.losses")


def _two_views(given: Given) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.cat([given.pred, given.target]), torch.arange(len(given.pred)).repeat(2)


@of("pml", "infonce")
def pml_infonce(given: Given) -> Any:
    loss = _pml().NTXentLoss(temperature=given.number("temperature", 0.07))
    return loss(*_two_views(given))


@of("pml", "vicreg")
def pml_vicreg(given: Given) -> Any:
    return _pml().VICRegLoss()(given.pred, ref_emb=given.target)


@of("pml", "supcon")
def supcon(given: Given) -> Any:
    loss = _pml().SupConLoss(temperature=given.number("temperature", 0.1))
    return loss(given.pred, given.target)


@of("pml", "circle")
def circle(given: Given) -> Any:
    return _pml().CircleLoss(m=given.number("margin", 0.4))(given.pred, given.target)


@of("pml", "multi_similarity")
def multi_similarity(given: Given) -> Any:
    return _pml().MultiSimilarityLoss()(given.pred, given.target)


# ------------------------------------------------------------------------- forecasts


def _neuralforecast() -> Any:
    return load(
        "neuralforecast.losses.pytorch",
        bare=("neuralforecast", "neuralforecast.losses"),
    )


def _forecast(loss: str, name: str) -> None:
    @of("neuralforecast", loss)
    def call(given: Given) -> Any:
        options: dict[str, Any] = {}
        if loss == "quantile":
            options["q"] = given.number("q", 0.5)
        if loss == "huber_quantile":
            options["q"] = 0.5
        if loss == "huber":
            options["delta"] = given.number("delta", 1.0)
        found = getattr(_neuralforecast(), name)(**options)
        # (batch, horizon, series)
        pred, target = (v if v.ndim == 3 else v.unsqueeze(-1) for v in (given.pred, given.target))
        if pred.ndim != 3:
            raise TypeError("(batch, horizon)")
        return found(y=target, y_hat=pred)


for _loss, _name in {
    "mse": "MSE", "l1": "MAE", "rmse": "RMSE", "mape": "MAPE", "smape": "SMAPE", "quantile": "QuantileLoss",
    "huber": "HuberLoss", "huber_quantile": "HuberQLoss",
}.items():  # fmt: skip
    _forecast(_loss, _name)


@of("neuralforecast", "mase")
def mase(given: Given) -> Any:
    found = _neuralforecast().MASE(seasonality=1)
    pred, target = (v if v.ndim == 3 else v.unsqueeze(-1) for v in (given.pred, given.target))
    return found(y=target, y_hat=pred, y_insample=given.batch["history"])


@of("robust_loss", "barron")
def barron(given: Given) -> Any:
    general = load("robust_loss_pytorch.general", bare=("robust_loss_pytorch",), stand_ins=("torch_dct",))
    alpha, scale = (torch.tensor(v, dtype=given.pred.dtype) for v in (given.number("alpha", 1.0), 1.0))
    return general.lossfun(given.pred - given.target, alpha, scale).mean()
