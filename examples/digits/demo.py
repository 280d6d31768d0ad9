"""Refuses a typo, then trains one network with two heads on the loss of train.yaml.

make demo
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import torch
import yaml
from network import TwoHeads
from picture import draw
from task import HELD_OUT_SEED, Digits, Reading, Score, baselines, damage, load, score, strokes
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR
from torch.utils.data import DataLoader, TensorDataset

import losslang
from losslang import Detail

HERE = Path(__file__).resolve().parent


class Result(NamedTuple):
    """What one training gives: the terms of every epoch and of the held-out set, and what it is worth."""

    history: list[Detail]
    held_out: Detail
    scores: dict[str, Score]
    picture: Path


def main() -> int:
    started, config_file = perf_counter(), HERE / "train.yaml"
    print("1. A typo is refused before anything trains\n")
    check_typo(config_file)
    print("\n2. The config as it should be\n")
    if check(config_file) != 0:
        return 1
    print("\n3. Training\n")
    result = run(yaml.safe_load(config_file.read_text(encoding="utf-8")), HERE / "out")
    print(f"\nwrote {_from_here(result.picture)}; all of this took {perf_counter() - started:.0f} s")
    print("\nTry next:")
    print(f"  make demo    # once you have changed a weight or a loss in {_from_here(config_file)}")
    print(f"  {_from_here(Path(sys.executable))} -m losslang explain {_from_here(config_file)}")
    return 0


# ---------------------------------------------------------------------------- checking


def check(config_file: Path) -> int:
    """Runs `losslang check` as a person would, and returns its exit code."""
    print(f"$ losslang check {config_file.name}", flush=True)
    command = [sys.executable, "-m", "losslang", "check", config_file.name]
    code = subprocess.run(command, cwd=config_file.parent, check=False).returncode
    print(f"(exit code {code})")
    return code


def check_typo(config_file: Path) -> int:
    """Checks a copy of the config that has one wrong letter in its loss."""
    text = config_file.read_text(encoding="utf-8")
    if "dice(" not in text:
        print(f"(skipped: {config_file.name} has no `dice(` left to misspell)")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, config_file.name)
        copy.write_text(text.replace("dice(", "dise("), encoding="utf-8")
        return check(copy)


# ---------------------------------------------------------------------------- training


def run(config: dict[str, Any], out: Path) -> Result:
    """Trains as `config` says, prints every term and the scores, draws the picture into `out`."""
    torch.manual_seed(config["seed"])
    # One thread: the same numbers on every machine, and for scans of 8x8 no slower.
    torch.set_num_threads(1)
    train_set, held_out = load()
    model, loss = TwoHeads(), losslang.compile(config["loss"], source="train.yaml")
    hole, sigma = config["noise"]["hole"], config["noise"]["sigma"]
    print(f"A scan of 8x8 pixels loses a square of {hole}x{hole}, then gets Gaussian noise, sigma {sigma}.")
    print("To find: its digit, and its strokes, the pixels at least half dark before the damage.")
    print(f"{len(train_set.digit):,} scans, {sum(p.numel() for p in model.parameters()):,} parameters")
    started = perf_counter()
    history = train(model, loss, train_set, config)
    print(f"{config['epochs']} epochs in {perf_counter() - started:.1f} s\n")

    reading, terms = evaluate(model, loss, held_out, config["noise"])
    scores = baselines(train_set, held_out, reading.damaged, config["noise"])
    scores["this network"] = score(reading)
    print_terms(history, terms)
    print_scores(scores, len(held_out.digit))
    picture = draw(out / "digits.png", loss.canonical, history, terms, scores, reading)
    return Result(history, terms, scores, picture)


def train(model: nn.Module, loss: losslang.Loss, scans: Digits, config: dict[str, Any]) -> list[Detail]:
    """An ordinary loop. `loss(pred, target)` would do; `detail` has every term too, for the log."""
    batches = DataLoader(TensorDataset(*scans), config["batch_size"], shuffle=True, drop_last=True)
    optimizer = torch.optim.AdamW([*model.parameters(), *loss.parameters()])
    schedule = OneCycleLR(optimizer, config["lr"], epochs=config["epochs"], steps_per_epoch=len(batches))
    history: list[Detail] = []
    for epoch in range(config["epochs"]):
        details: list[Detail] = []
        for clean, digit in batches:
            pred = model(damage(clean, **config["noise"]))
            detail = loss.detail(pred, target(clean, digit))
            optimizer.zero_grad()
            detail.total.backward()
            optimizer.step()
            schedule.step()
            details.append(detail)
        history.append(average(details))
        loss.tick("epoch")  # the clock that `ramp(..., epochs=10)` reads
        show_progress(epoch + 1, config["epochs"], history[-1])
    return history


@torch.no_grad()
def evaluate(
    model: nn.Module, loss: losslang.Loss, scans: Digits, noise: dict[str, float]
) -> tuple[Reading, Detail]:
    """What the network makes of scans that are damaged with a seed of their own, and every term on them."""
    damaged = damage(scans.clean, **noise, generator=torch.Generator().manual_seed(HELD_OUT_SEED))
    pred = model.eval()(damaged)
    reading = Reading(scans, damaged, pred["digit"].argmax(dim=1), pred["mask"] > 0)
    return reading, loss.detail(pred, target(*scans))


def target(clean: Tensor, digit: Tensor) -> dict[str, Tensor]:
    """What the network should answer."""
    return {"digit": digit, "mask": strokes(clean)}


def average(details: Sequence[Detail]) -> Detail:
    """The mean of an epoch's batches, term by term."""
    total, values, contributions = (
        torch.stack([getattr(detail, name) for detail in details]).detach().mean(dim=0)
        for name in ("total", "values", "contributions")
    )
    return details[-1]._replace(total=total, values=values, contributions=contributions)


# ---------------------------------------------------------------------------- printing


def show_progress(epoch: int, epochs: int, mean: Detail) -> None:
    """One line, redrawn; nothing where nobody watches."""
    if not sys.stdout.isatty():
        return
    bar = "#" * (40 * epoch // epochs)
    print(f"\r[{bar:.<40}] epoch {epoch}/{epochs}, loss {mean.total:.3f} ", end="", flush=True)
    if epoch == epochs:
        print()


def print_terms(history: Sequence[Detail], held_out: Detail) -> None:
    """Every term of every epoch: its value, the weight in force, and the part of the total that it is."""
    print("Each term: its value, its weight then, and what it adds, weight x value (-: only logged)\n")
    print("          " + "".join(f"{name:>24}" for name in held_out.names))
    print("   epoch  " + f"{'value':>9}{'weight':>7}{'adds':>8}" * len(held_out.names) + f"{'total':>9}")
    for epoch, mean in enumerate(history, start=1):
        print(_row(str(epoch), mean))
    print(_row("held out", held_out))


def _row(label: str, terms: Detail) -> str:
    parts = zip(terms.values.tolist(), terms.weights.tolist(), terms.contributions.tolist(), strict=True)
    cells = [
        f"{value:9.4f}" + (f"{weight:7.3f}{adds:8.4f}" if weight else f"{'-':>7}{'-':>8}")
        for value, weight, adds in parts
    ]
    return f"{label:>8}  " + "".join(cells) + f"{terms.total:9.4f}"


def print_scores(scores: dict[str, Score], count: int) -> None:
    print(f"\nHeld out: the last {count} scans, by other writers, damaged once with a fixed seed\n")
    print(f"  {'':38}{'digits right':>14}{'stroke IoU':>14}")
    for name, reached in scores.items():
        print(f"  {name:38}{reached.accuracy:14.1%}{reached.iou:14.3f}")
    print(
        "\n  IoU: mean over scans. The settings were chosen on the last 258 training scans, never on these."
    )


def _from_here(path: Path) -> Path:
    """The path as one would type it here."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


if __name__ == "__main__":
    sys.exit(main())
