#!/usr/bin/env bash
# torch 2.13.0: torch.compile traces an operator.itemgetter that is made in the traced function, and none made before.
#
# With fullgraph=True `itemgetter(0)([x])` compiles; the same itemgetter as a global, in an attribute or in a tuple raises
# Unsupported ("Unsupported method call"), and so do attrgetter and methodcaller. What a class prepares once in __init__ to
# read its arguments quickly breaks the graph of whoever compiles it; `map` over a bound list method does not.
# Exits 1 if those made before are traced too.
set -euo pipefail

home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
python3 -m venv "$home/venv"
"$home/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6

"$home/venv/bin/python" - <<'PYTHON'
import sys
from operator import attrgetter, itemgetter, methodcaller

import torch
from torch._dynamo.exc import Unsupported

first, shape, total = itemgetter(0), attrgetter("shape"), methodcaller("sum")


def traces(function):
    try:
        return torch.compile(function, fullgraph=True, backend="eager")(torch.ones(2)) is not None
    except Unsupported as error:
        print(function.__name__, "raises", str(error).partition("\n")[0])
        return False


def inside(x):
    return itemgetter(0)([x])


def mapped(x):
    return list(map([x].__getitem__, (0,)))[0]


def outside(x):
    return first([x])


def attribute(x):
    return shape(x)[0] * x


def method(x):
    return total(x)


assert traces(inside) and traces(mapped)
sys.exit(any(map(traces, (outside, attribute, method))))
PYTHON
