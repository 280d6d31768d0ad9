"""Options under the names of other libraries, with ours."""

from __future__ import annotations

from collections.abc import Mapping

RENAMED: Mapping[str, tuple[str, ...]] = {
    "T": ("temperature",),
    "alpha_t": ("alpha",),
    "batch_dice": ("batch",),
    "bbox_format": ("format",),
    "beta": ("delta",),
    "box_format": ("format",),
    "class_weights": ("class_weight",),
    "cls_weight": ("class_weight",),
    "covariance_v": ("covariance",),
    "data_range": ("max_val",),
    "delta": ("beta", "c"),
    "do_bg": ("background",),
    "eps": ("epsilon", "smooth"),
    "epsilon": ("label_smoothing", "eps", "smooth"),
    "focal_gamma": ("gamma",),
    "gt": ("target",),
    "ignore": ("ignore_index",),
    "ignore_class": ("ignore_index",),
    "ignore_label": ("ignore_index",),
    "ignored_index": ("ignore_index",),
    "include_background": ("background",),
    "input": ("pred",),
    "invariance_lambda": ("invariance",),
    "iter_": ("iters", "k"),
    "iterations": ("iters", "k"),
    "kernel_sigma": ("sigma",),
    "kernel_size": ("window",),
    "label": ("target",),
    "label_smooth": ("label_smoothing",),
    "labels": ("target",),
    "lambd": ("offdiag",),
    "logits": ("pred",),
    "m": ("margin",),
    "mask": ("mask",),
    "masks": ("mask",),
    "max_val": ("max_val",),
    "neg_margin": ("margin",),
    "num_iter": ("iters", "k"),
    "pixel_weight": ("weight",),
    "pixel_weights": ("weight",),
    "preds": ("pred",),
    "quantile": ("q",),
    "quantiles": ("q",),
    "sample_weight": ("weight",),
    "scale": ("scale", "c"),
    "sigma": ("c",),
    "smooth_dr": ("smooth",),
    "smooth_factor": ("label_smoothing",),
    "smooth_nr": ("smooth",),
    "smoothing": ("label_smoothing", "smooth"),
    "soft_targets": ("target",),
    "squared_pred": ("squared",),
    "tau": ("temperature", "q"),
    "teacher": ("target",),
    "teacher_logits": ("target",),
    "temp": ("temperature",),
    "threshold": ("delta", "beta"),
    "truth": ("target",),
    "valid": ("mask",),
    "valid_mask": ("mask",),
    "var": ("variance",),
    "variance_mu": ("variance",),
    "w_type": ("weighting",),
    "weight_map": ("weight",),
    "weights": ("class_weight", "weight"),
    "win_size": ("window",),
    "window_size": ("window",),
    "y": ("target", "sign"),
    "y_pred": ("pred",),
    "y_true": ("target",),
}
"""By their name: ours, of which the first is meant that a loss takes."""

FACTORS = (
    "loss_weight",
    "lambda_dice",
    "lambda_ce",
    "lambda_focal",
    "lambda_gdl",
    "weight_ce",
    "weight_dice",
    "coef",
    "coeff",
    "factor",
)
"""What multiplies a loss."""

NEEDLESS: Mapping[str, str] = {
    "avg_non_ignore": "the mean is over what is not ignored",
    "classes": "the classes are the channels of the prediction",
    "device": "it follows the prediction",
    "dtype": "it follows the prediction",
    "n_classes": "the classes are the channels of the prediction",
    "num_classes": "the classes are the channels of the prediction",
    "jaccard": "the loss is called `jaccard`",
    "reduce": "`reduction=` says it",
    "size_average": "`reduction=` says it",
    "to_onehot_y": "class indices are understood",
    "use_mask": "`mask=` says it",
}
"""What other libraries have to be told, and why it is left out here."""

REDUCTIONS: Mapping[str, str] = {
    "average": "mean",
    "avg": "mean",
    "elementwise_mean": "mean",
    "hard": "topk",
    "hard_mining": "topk",
    "hardest": "topk",
    "mean_batch": "batchmean",
    "sum_over_batch_size": "mean",
    "total": "sum",
}
"""Reductions under other names."""

DISTRIBUTIONS: Mapping[str, str] = {
    "binary": "sigmoid",
    "multiclass": "softmax",
    "multilabel": "sigmoid",
    "multi_class": "softmax",
}
"""The activation behind the `mode` of segmentation-models-pytorch and the `loss_type` of mmsegmentation."""
