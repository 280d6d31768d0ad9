"""Records the grid of a library: the numbers that its own code gives at every point. Run by hand, never by CI.

    pip install --no-deps --target lib segmentation-models-pytorch==0.6.0 ...   # the versions of losslang.primitives.libraries
    PYTHONPATH=lib:tests python -m conformance.record [library ...]

detectron2, fvcore and robust_loss_pytorch are of their repositories, at the commit that `losslang.primitives.libraries` names.
torchvision goes into a folder of its own, for torchvision alone: others look for it, and its operations do not load
beside a torch that was built without them. Only the files of losses are loaded: `loaders` puts empty packages in the place of those whose import would load
networks, compiled operations or data. A point whose call the library refuses is recorded as null; an option that
a recorder never reads is one that the library does not have.
"""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from itertools import groupby
from typing import Any

import torch

from conformance.points import GRID, INPUTS, Point, call, one_number
from conformance.recorders import RECORDERS, Given, SkippedError, family
from conformance.recorders.calls import made
from losslang.primitives.libraries import LIBRARIES


def record(library: str) -> None:
    """Writes the file of a library."""
    has: dict[str, list[str]] = {}
    points: dict[str, list[list[object]]] = {}
    for loss, recorder in RECORDERS[library].items():
        seen: list[tuple[Point, float | None]] = []
        read: set[str] = set()
        every: set[str] = set()
        for point in family(library, loss):
            every |= {name for name, _ in point.options}
            given = Given(point, call(point.inputs))
            try:
                value: float | None = one_number(point, recorder(given))
            except SkippedError:
                continue
            except Exception as refused:
                if "-v" in sys.argv:
                    print(f"{point.program} {point.inputs}: {type(refused).__name__} {str(refused)[:100]}")
                value = None
            read |= given.read
            seen.append((point, None if value is None or value != value else float(f"{value:.10g}")))
        seen = [(p, v) for p, v in seen if {name for name, _ in p.options} <= read]
        has[loss] = sorted(every & read)
        groups = groupby(seen, key=lambda pair: (pair[0].activation, pair[0].options))
        points[loss] = [
            [activation, "; ".join(f"{n}={v}" for n, v in options), {p.inputs: v for p, v in held}]
            for (activation, options), held in groups
        ]
        recorded = [v for _, v in seen]
        print(f"{library} {loss}: {len(recorded)} points, {recorded.count(None)} refused, has {has[loss]}")
    held = {"library": library, "version": LIBRARIES[library], "has": has, "points": points}
    GRID.mkdir(exist_ok=True)
    (GRID / f"{library}.json").write_text(_compact(held), encoding="utf-8")


def write_inputs() -> None:
    """Writes the tensors of every call that a point names."""
    names = {
        p.inputs: None
        for library, losses in RECORDERS.items()
        for loss in losses
        for p in family(library, loss)
    }
    lines = [
        f" {json.dumps(name)}: {json.dumps(_lists(made(name)), separators=(',', ':'))}" for name in names
    ]
    INPUTS.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def _lists(value: Any) -> Any:
    """Tensors as lists, what was rounded without its rounding errors."""
    if isinstance(value, dict):
        return {name: _lists(part) for name, part in value.items()}
    if isinstance(value, torch.Tensor):
        return _lists(value.tolist())
    if isinstance(value, list):
        return [_lists(part) for part in value]
    return round(value, 3) if isinstance(value, float) else value


def _compact(held: dict[str, object]) -> str:
    """JSON with a line for each group of points."""
    points = held.pop("points")
    assert isinstance(points, dict)
    head = json.dumps(held, indent=1)[:-2]
    losses = [
        f"  {json.dumps(loss)}: [\n" + ",\n".join(f"   {json.dumps(group)}" for group in groups) + "\n  ]"
        for loss, groups in points.items()
    ]
    return head + ',\n "points": {\n' + ",\n".join(losses) + "\n }\n}\n"


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    write_inputs()
    chosen = [a for a in sys.argv[1:] if a != "-v"] or list(RECORDERS)
    if len(chosen) == 1:
        record(chosen[0])
    else:  # what stands in for one library is real for another
        for name in chosen:
            subprocess.run([sys.executable, "-m", "conformance.record", name], check=True)
