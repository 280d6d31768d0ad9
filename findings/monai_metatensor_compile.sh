#!/usr/bin/env bash
# monai 1.6.1 with torch 2.13.0: a MetaTensor can be unwrapped before torch.compile, and by nothing inside of it.
#
# Everything that comes of a MONAI loader is a MetaTensor. With fullgraph=True even `x * 2` of one raises Unsupported; and
# so do the ways out, x.as_tensor() and x.as_subclass(torch.Tensor), when they stand in the compiled function: "Argument of
# `as_subclass` must be a non-dispatcher-style tensor subclass". f(x.as_tensor()) outside compiles. Without fullgraph all of it
# runs, in broken graphs.
# Exits 1 if as_tensor compiles inside.
set -euo pipefail

home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
python3 -m venv "$home/venv"
"$home/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 monai==1.6.1

"$home/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import torch
from monai.data import MetaTensor
from torch._dynamo.exc import Unsupported


def compiles(name, function, x):
    torch._dynamo.reset()
    try:
        found = torch.compile(function, fullgraph=True, backend="eager")(x)
    except Unsupported as error:
        print(f"{name:20} Unsupported: {str(error).splitlines()[0]}")
        return False
    print(f"{name:20} {found}")
    return True


def twice(x):
    return x * 2


def unwrapped(x):
    return x.as_tensor() * 2


def subclassed(x):
    return x.as_subclass(torch.Tensor) * 2


x = MetaTensor(torch.ones(2))
assert compiles("as_tensor() outside", twice, x.as_tensor())
assert torch.equal(unwrapped(x), torch.full((2,), 2.0)), "without a compiler"
inside = [compiles(f.__name__, f, x) for f in (twice, unwrapped, subclassed)]
sys.exit(any(inside))
PYTHON
