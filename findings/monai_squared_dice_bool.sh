#!/usr/bin/env bash
# monai 1.6.1: DiceLoss(squared_pred=True) refuses the bool labels that MONAI's own BraTS transform makes.
#
# ConvertToMultiChannelBasedOnBratsClasses gives bool channels, as masks are. DiceLoss(sigmoid=True) takes them, and the same
# loss with squared_pred=True, the usual choice for BraTS, raises RuntimeError: it sums squares by torch.linalg.vector_norm,
# which takes no bool. Seen with torch 2.13.0. `.float()` on the labels gives the number.
# Exits 1 if the bool labels are taken.
set -euo pipefail

home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
python3 -m venv "$home/venv"
"$home/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 monai==1.6.1

"$home/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import torch
from monai.losses import DiceLoss
from monai.transforms import ConvertToMultiChannelBasedOnBratsClasses

torch.manual_seed(0)
labels = ConvertToMultiChannelBasedOnBratsClasses()(torch.randint(4, (1, 8, 8, 8)))[None]
logits = torch.randn(labels.shape)
print("labels:", labels.dtype, "plain dice:", DiceLoss(sigmoid=True)(logits, labels).item())
squared = DiceLoss(sigmoid=True, squared_pred=True)
print("squared, of labels.float():", squared(logits, labels.float()).item())
assert labels.dtype == torch.bool
try:
    print("squared, of labels:", squared(logits, labels).item())
except RuntimeError as error:
    print("squared, of labels:", error)
    sys.exit("Bool" not in str(error))
sys.exit(1)
PYTHON
