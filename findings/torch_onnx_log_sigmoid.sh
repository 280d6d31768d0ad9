#!/usr/bin/env bash
# torch 2.13.0, onnxscript 0.7.2: torch.onnx.export writes logsigmoid as log(sigmoid(x)), so BCE of logits becomes inf.
#
# At a logit of -20 and a target of 1 the loss is 20. onnxruntime 1.32.0 gives inf for the exported BCEWithLogitsLoss, and
# -inf for LogSigmoid: its sigmoid is 0 in float32 from about x = -18 on, though e^-20 is not. The same exporter knows Softplus,
# and -softplus(-x) comes out right, to the digit at both ends.
# Exits 1 if the exported BCE of logits is finite.
set -euo pipefail

home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
python3 -m venv "$home/venv"
"$home/venv/bin/pip" install --quiet --disable-pip-version-check \
  torch==2.13.0 numpy==2.4.6 onnxscript==0.7.2 onnx==1.23.2 onnxruntime==1.32.0

cd "$home"
"$home/venv/bin/python" - <<'PYTHON'
import math
import sys

import onnxruntime
import torch
from torch import nn


class Stable(nn.Module):
    def forward(self, x):
        return -nn.functional.softplus(-x)


def exported(module, *tensors):
    torch.onnx.export(module, tensors, "module.onnx", dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession("module.onnx")
    feeds = {i.name: tensor.numpy() for i, tensor in zip(session.get_inputs(), tensors)}
    return session.run(None, feeds)[0]


x = torch.tensor([-20.0, 0.0, 20.0])
loss = nn.BCEWithLogitsLoss()
wanted, found = loss(x[:1], torch.ones(1)).item(), float(exported(loss, x[:1], torch.ones(1)))
print(f"BCE at x = -20, t = 1: torch {wanted}, exported {found}")
print("logsigmoid: torch", nn.LogSigmoid()(x).tolist(), "exported", exported(nn.LogSigmoid(), x).tolist())
stable = exported(Stable(), x)
print("-softplus(-x) exported", stable.tolist())
assert wanted == 20 and abs(stable[0] + 20) < 1e-5 and abs(stable[2] / -math.log1p(math.exp(-20)) - 1) < 1e-5
sys.exit(not math.isinf(found))
PYTHON
