#!/usr/bin/env bash
# torch 2.13.0: the first sum of a tensor on the meta device loads the compiler, and so does a decorator that keeps it away.
#
# `import torch` loads neither torch._dynamo nor sympy. `torch.empty(2, device="meta") + 1`, which asks for a shape
# alone, loads both, 800 modules and a second of time; so does `@torch.compiler.disable`, when it decorates a
# function that nobody has called. Tensors of zeros on the CPU say shapes without.
# Exits 1 if either loads neither.
set -euo pipefail

home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
python3 -m venv "$home/venv"
"$home/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6

"$home/venv/bin/python" - <<'PYTHON'
import subprocess
import sys

ASK = "\nimport sys; print(len(sys.modules), *(name in sys.modules for name in ('torch._dynamo', 'sympy')))"
PROGRAMS = {
    "import torch": "import torch",
    "zeros on the CPU": "import torch\ntorch.zeros(2) + 1",
    "a sum on meta": "import torch\ntorch.empty(2, device='meta') + 1",
    "torch.compiler.disable": "import torch\n@torch.compiler.disable\ndef nobody_calls(): pass",
}
found = {}
for name, program in PROGRAMS.items():
    run = [sys.executable, "-W", "ignore", "-c", program + ASK]
    number, dynamo, sympy = subprocess.run(run, capture_output=True, text=True, check=True).stdout.split()
    print(f"{name:24} {number:>5} modules, torch._dynamo: {dynamo}, sympy: {sympy}")
    found[name] = (dynamo, sympy)
assert found["import torch"] == found["zeros on the CPU"] == ("False", "False")
sys.exit(not (found["a sum on meta"] == found["torch.compiler.disable"] == ("True", "True")))
PYTHON
