"""Floor 4: the losses that come with losslang, one function each, a family a file."""

from losslang.losses import (
    balance,
    boxes,
    classification,
    contrast,
    distribution,
    embedding,
    entropy,
    focal,
    forecast,
    image,
    label_noise,
    likelihood,
    linear,
    margin,
    overlap,
    perceptual,
    region,
    regression,
    regularizer,
    robust,
    surface,
)

__all__ = [
    "balance", "boxes", "classification", "contrast", "distribution", "embedding", "entropy", "focal", "forecast", "image",
    "label_noise", "likelihood", "linear", "margin", "overlap", "perceptual", "region", "regression", "regularizer", "robust", "surface",
]  # fmt: skip
