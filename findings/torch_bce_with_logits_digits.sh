#!/usr/bin/env bash
# torch 2.13.0: binary_cross_entropy_with_logits in float32 has few right digits where the prediction is nearly right.
#
# The loss of a logit x with target 0 is log(1 + e^x). At x = -10 it is 4.5399e-05, and torch gives 4.5776e-05; at
# x = -15 it is 3.059e-07, and torch gives 0. The gradient of target 1 at x = 17 is -4.14e-08, and torch gives 0.
# softplus(x) gives the right digits of the same numbers in the same type.
# Exits 1 if torch gives them too.
set -euo pipefail

home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
python3 -m venv "$home/venv"
"$home/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6

"$home/venv/bin/python" - <<'PYTHON'
import math
import sys

import torch
import torch.nn.functional as F

wrong = 0
for x in (-5.0, -10.0, -15.0, -20.0):
    found = F.binary_cross_entropy_with_logits(torch.tensor([x]), torch.zeros(1)).item()
    stable, exact = F.softplus(torch.tensor([x])).item(), math.log1p(math.exp(x))
    print(f"x = {x:5}, t = 0: {found:.5g}, softplus {stable:.5g}, exact {exact:.5g}")
    assert abs(stable - exact) < 1e-6 * exact
    wrong += abs(found - exact) > 1e-3 * exact
logit = torch.tensor([17.0], requires_grad=True)
F.binary_cross_entropy_with_logits(logit, torch.ones(1)).backward()
print(f"gradient at x = 17, t = 1: {logit.grad.item():.4g}, exact {-1 / (1 + math.exp(17)):.4g}")
sys.exit(not (wrong >= 3 and logit.grad.item() == 0))
PYTHON
