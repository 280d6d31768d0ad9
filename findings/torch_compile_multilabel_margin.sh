#!/usr/bin/env bash
# torch 2.13.0: torch.compile computes another multilabel_margin_loss wherever a target is padded with -1, as documented.
#
# -1 ends the list of classes of a sample. The decomposition that AOTAutograd takes, and with it inductor, run_decompositions and
# the ONNX exporter, reads each place behind the end as class 0 and adds its margins: for [[0, 2, -1, -1, -1]] and five equal
# logits eager gives 1.2 and compiled 3.0. backend="eager", which takes no decomposition, agrees with eager. Nothing warns.
# Exits 1 if the compiled loss is that of eager.
set -euo pipefail

home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
python3 -m venv "$home/venv"
"$home/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6

"$home/venv/bin/python" - <<'PYTHON'
import sys

import torch
from torch.nn.functional import multilabel_margin_loss

logits, target = torch.zeros(1, 5), torch.tensor([[0, 2, -1, -1, -1]])
full = torch.tensor([[0, 1, 2, 3, 4]])


def run(backend, target):
    torch._dynamo.reset()
    return torch.compile(multilabel_margin_loss, backend=backend)(logits, target).item()


eager = multilabel_margin_loss(logits, target).item()
found = {backend: run(backend, target) for backend in ("eager", "aot_eager")}
print(f"eager {eager:.4f}, compiled", {backend: round(value, 4) for backend, value in found.items()})
assert abs(eager - 1.2) < 1e-6 and abs(found["eager"] - eager) < 1e-6
assert abs(run("aot_eager", full) - multilabel_margin_loss(logits, full).item()) < 1e-6
sys.exit(abs(found["aot_eager"] - eager) < 1e-3)
PYTHON
