"""The libraries whose numbers `like=` gives, and the version of each that they were compared with."""

from __future__ import annotations

from collections.abc import Mapping

LIBRARIES: Mapping[str, str] = {
    "torch": "torch 2.13.0",
    "torchvision": "torchvision 0.28.0",
    "detectron2": "detectron2 at 02b5c4e",
    "monai": "MONAI 1.6.1",
    "smp": "segmentation-models-pytorch 0.6.0",
    "kornia": "kornia 0.9.0",
    "mmdet": "mmdet 3.3.0",
    "mmseg": "mmsegmentation 1.2.2",
    "nnunet": "nnunetv2 2.8.1",
    "timm": "timm 1.0.31",
    "keras": "keras 3.15.1",
    "optax": "optax 0.2.8",
    "pml": "pytorch-metric-learning 2.9.0",
    "lightly": "lightly 1.6.0",
    "fvcore": "fvcore at 3378afe",
    "toolbelt": "pytorch-toolbelt 0.8.0",
    "neuralforecast": "neuralforecast 3.3.0",
    "pytorch_forecasting": "pytorch-forecasting 1.8.0",
    "sklearn": "scikit-learn 1.9.1",
    "robust_loss": "robust_loss_pytorch at 9831f1d",
}
