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
    similarity,
    surface,
)

# In the order in which people look for them: lists and pages keep it.
FAMILIES = (
    "entropy", "regression", "region", "overlap", "classification", "focal", "balance", "label_noise", "margin",
    "distribution", "likelihood", "robust", "forecast", "contrast", "embedding", "boxes", "similarity", "image",
    "perceptual", "surface", "linear", "regularizer",
)  # fmt: skip

__all__ = [
    "FAMILIES",
    "balance", "boxes", "classification", "contrast", "distribution", "embedding", "entropy", "focal", "forecast", "image",
    "label_noise", "likelihood", "linear", "margin", "overlap", "perceptual", "region", "regression", "regularizer", "robust", "similarity", "surface",
]  # fmt: skip
