"""The losses that come with losslang, one function each, in families."""

from losslang.losses import boxes, classification, distribution, embedding, linear, region, regression

__all__ = ["boxes", "classification", "distribution", "embedding", "linear", "region", "regression"]
