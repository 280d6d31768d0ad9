"""The demo tells the truth: it refuses its typo, learns, shows every term, and repeats itself exactly."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

pytest.importorskip("torch")
pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")

DIGITS = Path(__file__).parents[1] / "examples" / "digits"
CONFIG = DIGITS / "train.yaml"
TERMS = ("digit", "stroke/bce.mask", "stroke/dice.mask", "zero_one.digit")
MODULES = ("demo", "network", "picture", "task")


@pytest.fixture(scope="module")
def demo() -> Iterator[object]:
    """The demo as it finds itself when it is run: with its folder first on the path."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(DIGITS)
        import demo

        yield demo
    for name in MODULES:
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def short() -> dict[str, object]:
    """The shipped config, with little to do."""
    return {**yaml.safe_load(CONFIG.read_text(encoding="utf-8")), "epochs": 2, "batch_size": 256}


@pytest.fixture(scope="module")
def result(demo, short, tmp_path_factory):
    return demo.run(short, tmp_path_factory.mktemp("out") / "deeper")


def test_the_typo_is_refused(demo, capfd):
    assert demo.check_typo(CONFIG) == 1
    said = capfd.readouterr().out
    assert "did you mean `dice`?" in said
    assert "^^^^" in said
    assert "(exit code 1)" in said


def test_the_config_passes(demo, capfd):
    assert demo.check(CONFIG) == 0
    assert "no mistakes" in capfd.readouterr().out


def test_it_learns(result):
    first, last = result.history
    assert last.total < first.total
    assert result.scores["this network"].iou > 0


def test_contributions_add_up(result):
    for terms in (*result.history, result.held_out):
        assert terms.contributions.sum().item() == pytest.approx(terms.total.item(), abs=1e-5)


def test_every_term_is_in_the_table(demo, result, capsys):
    demo.print_terms(result.history, result.held_out)
    header, *rows = capsys.readouterr().out.splitlines()[2:]
    assert tuple(header.split()) == TERMS == result.held_out.names
    assert [row[:8].strip() for row in rows] == ["epoch", "1", "2", "held out"]
    assert len({len(row) for row in rows}) == 1


def test_the_weight_of_a_schedule_is_in_the_table(demo, result, capsys):
    """The strokes count more from epoch to epoch: 0.1, then 0.19 of what they will; bce half of that."""
    weights = [[round(w, 4) for w in terms.weights.tolist()] for terms in result.history]
    assert weights == [[1.0, 0.05, 0.1, 0.0], [1.0, 0.095, 0.19, 0.0]]
    demo.print_terms(result.history, result.held_out)
    first, second, held_out = (line.split() for line in capsys.readouterr().out.splitlines()[4:])
    assert [first[5], second[5]] == ["0.050", "0.095"]
    assert [first[8], second[8], held_out[9]] == ["0.100", "0.190", "0.280"]


def test_the_picture_shows_something(result):
    from matplotlib.image import imread

    pixels = imread(result.picture)
    assert min(pixels.shape[:2]) > 1000
    assert pixels[..., :3].std() > 0.1


def test_two_runs_are_the_same(demo, short, result, tmp_path):
    again = demo.run(short, tmp_path)
    assert again.scores == result.scores
    for one, other in zip((*again.history, again.held_out), (*result.history, result.held_out), strict=True):
        assert one.values.tolist() == other.values.tolist()


def test_the_masks_cannot_be_read_off_the_noise(demo):
    """Damage hides strokes and repeats with its generator; the held-out scans are not trained on."""
    import torch

    train, held_out = demo.load()
    assert (len(train.digit), len(held_out.digit)) == (1287, 510)
    clean = torch.ones(64, 1, 8, 8)
    blanked = demo.damage(clean, hole=2, sigma=0.0)
    assert (blanked == 0).sum((1, 2, 3)).eq(4).all()
    one, other = (
        demo.damage(clean, hole=2, sigma=1.0, generator=torch.Generator().manual_seed(3)) for _ in "12"
    )
    assert torch.equal(one, other)


def test_the_picture_of_shares_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At 60 steps already: what the plain sum loses, `balance` keeps."""
    monkeypatch.syspath_prepend(DIGITS.parent / "balance")
    import shares  # pyright: ignore[reportMissingImports]

    monkeypatch.setattr(shares, "OUT", tmp_path)
    shares.main(60)
    assert (tmp_path / "shares.png").stat().st_size > 10_000
    plain, balanced = (shares.trained(text, 60)[0][-1][0] for text in shares.PROGRAMS)
    assert plain < 0.1 < 0.3 < balanced < 0.7
