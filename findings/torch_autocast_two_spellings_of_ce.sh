#!/usr/bin/env bash
# torch 2.13.0 on a CPU: under autocast nll_loss(log_softmax(x)) is a float32 with the digits of bfloat16.
#
# cross_entropy(x) converts its logits to float32 first. log_softmax and softmax do not, as they do on CUDA (they
# are of AT_FORALL_FP32_SET_OPT_DTYPE in autocast_mode.h, a list that the CPU does not use), and nll_loss converts
# what is rounded by then. So two spellings of one loss, both float32, are 5e-5 of their mean apart, and one row by
# far more; a dice by hand, from softmax, computes in bfloat16 as a whole. losslang computes in float32 on both devices.
# Exits 1 if both spellings have the same digits.
set -euo pipefail

home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
python3 -m venv "$home/venv"
"$home/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6

"$home/venv/bin/python" - <<'PYTHON'
import sys

import torch
import torch.nn.functional as F

torch.manual_seed(0)
logits = (4 * torch.randn(4, 19, 64, 64)).bfloat16()
labels = torch.randint(19, (4, 64, 64))
exact = F.cross_entropy(logits.double(), labels)
with torch.autocast("cpu", dtype=torch.bfloat16):
    spellings = {
        "cross_entropy(x)": F.cross_entropy(logits, labels),
        "nll_loss(log_softmax(x))": F.nll_loss(F.log_softmax(logits, 1), labels),
    }
    print("softmax(x) is of", F.softmax(logits, 1).dtype)
off = {}
for name, value in spellings.items():
    off[name] = abs(value.double() - exact).item() / exact.item()
    print(f"{name}: {value.dtype}, off by {off[name]:.0e} of itself")
whole, parts = off.values()
assert all(value.dtype == torch.float32 for value in spellings.values())
assert whole < 1e-6
sys.exit(not parts > 1e-5)
PYTHON
