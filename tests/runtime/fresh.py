"""Every program as the first that a process runs: each in a process forked from one that has run none.

`python fresh.py` prints what failed, a line each; `python fresh.py TEXT...` tries these programs alone.
"""

from __future__ import annotations

import gc
import os
import sys
import warnings
from typing import Any

import torch
from torch._dynamo.testing import CompileCounter

LABELS = (torch.randn(2, 3, 4, 5), torch.randint(0, 3, (2, 4, 5)), {})
Program = tuple[str, Any]


def traced(text: str, call: Any) -> str:
    """What is wrong with a program in torch.compile; "" if it is one graph, with the value and gradient of itself."""
    import losslang

    pred, target, batch = call
    warnings.simplefilter("ignore")
    counter = CompileCounter()
    pred = pred.clone().requires_grad_()
    exact = {"rtol": 1e-9, "atol": 1e-12} if pred.dtype == torch.float64 else {}
    try:
        found = torch.compile(losslang.compile(text), fullgraph=True, backend=counter)(pred, target, **batch)
        assert counter.frame_count == 1, f"{counter.frame_count} graphs"
        wanted = losslang.compile(text)(pred, target, **batch)
        torch.testing.assert_close(found, wanted, **exact)
        slopes = [torch.autograd.grad(value, pred) for value in (found, wanted)]
        torch.testing.assert_close(*slopes, **exact)
    except Exception as error:
        return f"{text}: {str(error).strip().splitlines()[0]}\n"
    return ""


def alone(programs: list[Program]) -> str:
    """The same of a program, and of others behind it, in a process of their own."""
    reader, writer = os.pipe()
    if not (child := os.fork()):
        os.write(writer, "".join(traced(*program) for program in programs).encode()[:4096])
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as said:
        found = said.read()
    _, status = os.waitpid(child, 0)
    return found or (f"{programs[0][0]}: the process died of {status}\n" if status else "")


def every() -> list[list[Program]]:
    """Every loss in all its uses; what it reads is made of torch's own operations."""
    import _every_loss as laws

    import losslang

    losslang.parse("ce")  # the grammar is read once, long before anything is traced
    return [
        [(laws.text_of(name, use), laws.data(name, use)) for use in laws.uses(name)] for name in laws.TRAINED
    ]


if __name__ == "__main__":
    # A thread does not survive a fork.
    torch.set_num_threads(1)
    # What dynamo itself does only once is done before anything is forked.
    torch.compile(torch.square, backend="eager")(torch.ones(1))
    wanted = [[(text, LABELS)] for text in sys.argv[1:]] or every()
    gc.collect()
    gc.freeze()
    print("".join(alone(programs) for programs in wanted), end="")
