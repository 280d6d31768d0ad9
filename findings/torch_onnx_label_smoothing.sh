#!/usr/bin/env bash
# torch 2.13.0, onnxscript 0.7.2: torch.onnx.export writes a cross entropy without its label_smoothing, and says nothing.
#
# ONNX has an operation SoftmaxCrossEntropyLoss, which knows no smoothing; the exporter uses it all the same, and the
# graph is as for label_smoothing=0. With 0.5 of four samples and five classes torch gives 2.1626 and onnxruntime 1.32.0
# 2.3783, the number without smoothing. Neither a warning nor the report of the export tells. The arithmetic written out,
# 0.5 * nll(log_softmax(x)) - 0.5 * mean(log_softmax(x)), is exported right.
# Exits 1 if the smoothing is exported too.
set -euo pipefail

home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
python3 -m venv "$home/venv"
"$home/venv/bin/pip" install --quiet --disable-pip-version-check \
  torch==2.13.0 numpy==2.4.6 onnxscript==0.7.2 onnx==1.23.2 onnxruntime==1.32.0

cd "$home"
"$home/venv/bin/python" - <<'PYTHON'
import sys
import warnings

import onnxruntime
import torch
from torch.nn import CrossEntropyLoss
from torch.nn.functional import log_softmax, nll_loss


class WrittenOut(torch.nn.Module):
    def forward(self, x, labels):
        logs = log_softmax(x, 1)
        return 0.5 * nll_loss(logs, labels) - 0.5 * logs.mean()


def exported(module, *tensors):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        torch.onnx.export(module, tensors, "loss.onnx", dynamo=True, verbose=False)
    assert not any("smoothing" in str(warning.message) for warning in told)
    session = onnxruntime.InferenceSession("loss.onnx")
    feeds = {i.name: tensor.numpy() for i, tensor in zip(session.get_inputs(), tensors)}
    return float(session.run(None, feeds)[0])


torch.manual_seed(0)
x, labels = torch.randn(4, 5), torch.tensor([0, 3, 1, 4])
smooth, plain = CrossEntropyLoss(label_smoothing=0.5), CrossEntropyLoss()
wanted, without = smooth(x, labels).item(), plain(x, labels).item()
found, by_hand = exported(smooth, x, labels), exported(WrittenOut(), x, labels)
print(f"torch {wanted:.4f}, without smoothing {without:.4f}; exported {found:.4f}, written out {by_hand:.4f}")
assert abs(by_hand - wanted) < 1e-5
sys.exit(not (abs(found - without) < 1e-5 and abs(wanted - without) > 0.05))
PYTHON
