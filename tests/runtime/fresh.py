"""Every program as the first that a process runs: each in a process forked from one that has run none.

`python fresh.py` prints what failed, a line each; `python fresh.py TEXT...` tries these programs alone.
"""

from __future__ import annotations

import os
import sys
import warnings
from typing import Any

import torch
from torch._dynamo.testing import CompileCounter

LABELS = (torch.randn(2, 3, 4, 5), torch.randint(0, 3, (2, 4, 5)), {})


def first_use(text: str, call: Any) -> str:
    """What torch.compile says of a program that nothing has run before; "" if it traces in one graph."""
    import losslang

    pred, target, batch = call
    warnings.simplefilter("ignore")
    counter = CompileCounter()
    try:
        found = torch.compile(losslang.compile(text), fullgraph=True, backend=counter)(pred, target, **batch)
        assert counter.frame_count == 1
        torch.testing.assert_close(found, losslang.compile(text)(pred, target, **batch))
    except Exception as error:
        return f"{text}: {str(error).strip().splitlines()[0]}"
    return ""


def alone(text: str, call: Any) -> str:
    """The same, in a process of its own."""
    reader, writer = os.pipe()
    if not (child := os.fork()):
        os.write(writer, first_use(text, call).encode()[:4096])
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as said:
        found = said.read()
    _, status = os.waitpid(child, 0)
    return found or (f"{text}: the process died of {status}" if status else "")


def every() -> list[tuple[str, Any]]:
    """One use of every loss; what it reads is made of torch's own operations."""
    import test_every_loss as laws

    return [
        (laws.text_of(name, laws.uses(name)[0]), laws.data(name, laws.uses(name)[0])) for name in laws.TRAINED
    ]


if __name__ == "__main__":
    # A thread does not survive a fork.
    torch.set_num_threads(1)
    # What dynamo itself does only once is done before anything is forked.
    torch.compile(torch.square, backend="eager")(torch.ones(1))
    wanted = [(text, LABELS) for text in sys.argv[1:]] or every()
    print("\n".join(filter(None, (alone(*one) for one in wanted))), end="")
