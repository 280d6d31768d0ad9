"""The benchmark compares like with like, and its report renders. No clock is read here."""

from __future__ import annotations

import math
import os
import time
import warnings
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("bench", reason="an sdist has no benchmark")

from bench import __main__ as command
from bench import (
    asked,
    busy,
    first,
    hydra_config,
    linear_ce,
    measure,
    picture,
    report,
    sweep,
    sweep_picture,
    sweep_report,
    turns,
    works,
)
from bench.masked import CARELESS
from bench.results import COMPILED, COPY, FLAT, HAND, INDUCTOR, OURS, PARTS, PLAIN, Cell, Results, read
from bench.sides import Side, difference, outcome, sides
from bench.sweep_points import Point, Record, Sweep
from bench.sweep_rows import ROWS, Row
from bench.work import Call, Work, prepared
from losslang.primitives.primitive import Loss
from losslang.registry import current_registry

BUILT = {loss.name for loss in current_registry().all(Loss)}
each_work = pytest.mark.parametrize("work", works.EVERYTHING, ids=lambda work: work.name)


def found_sides(work: Work, call: Call) -> tuple[list[Side], dict[str, str]]:
    """The eager sides of a work on tiny tensors, and why the others take no part."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # other packages warn of themselves when they are imported
        found = list(sides(work, work.tiny, call))
    return [s for s in found if isinstance(s, Side)], dict(s for s in found if isinstance(s, tuple))


@each_work
def test_all_sides_compute_one_number_and_one_gradient(work: Work) -> None:
    call = prepared(work, work.tiny, "cpu")
    found, unfit = found_sides(work, call)
    assert found[0].name == HAND
    assert OURS in [side.name for side in found] or ("linear_ce" not in BUILT and "linear_ce" in unfit[OURS])
    assert all(reason == "not installed" for name, reason in unfit.items() if name != OURS)
    wanted = outcome(found[0], call, gradients=True)
    assert len(wanted.gradients) == (0 if work.metric else len(call.trained))
    for side in found:
        assert difference(outcome(side, call, gradients=True), wanted) == "", side.name


def test_a_difference_is_seen() -> None:
    """The test above can fail."""
    work = works.TABLE[0]
    call = prepared(work, work.tiny, "cpu")
    wanted = outcome(found_sides(work, call)[0][0], call, gradients=True)
    other = Side("other", lambda: work.by_hand(call.pred, call.target) * 1.01)
    assert difference(outcome(other, call, gradients=True), wanted).startswith("computes another number")
    steep = Side(
        "steep", lambda: work.by_hand(call.pred, call.target) + (call.pred - call.pred.detach()).sum()
    )
    assert difference(outcome(steep, call, gradients=True), wanted).startswith("has another gradient")


def test_the_sizes_are_those_of_the_promises() -> None:
    assert works.TABLE[0].timed[0] == (32, 1, 16, 16)
    megabytes = [prepared(work, work.largest, "cpu").pred.nbytes / 2**20 for work in works.REGISTRY]
    assert all(
        0.99 <= size <= 1.01
        for size, work in zip(megabytes, works.REGISTRY, strict=True)
        if work.name != "linear_ce"
    )


def test_every_loss_by_hand_is_one_of_the_registry() -> None:
    assert {work.name for work in works.REGISTRY} - BUILT <= {"linear_ce"}
    assert set(command.missing()) == BUILT - {work.name for work in works.REGISTRY}


def test_both_configs_build_the_loss_of_the_mission() -> None:
    import torch

    call = prepared(works.TABLE[0], works.TABLE[0].tiny, "cpu")
    dice = hydra_config.Dice(**{k: v for k, v in hydra_config.NODES["dice"].items() if k != "_target_"})
    by_nodes = 0.5 * torch.nn.BCEWithLogitsLoss()(call.pred, call.target) + dice(call.pred, call.target)
    torch.testing.assert_close(hydra_config.from_text()()(call.pred, call.target), by_nodes)


@pytest.mark.skipif(not measure.RESET.exists(), reason="no /proc")
def test_peak_memory_is_measured() -> None:
    """Two tensors of 32 MB at once, of which one is dropped before the second is freed."""
    import torch

    held: list[torch.Tensor] = []
    size = 32 * 2**20

    def run() -> None:
        held.append(torch.ones(size, dtype=torch.uint8))
        torch.ones(size, dtype=torch.uint8)

    found = measure.peak(run, held.clear, "cpu")
    assert found is not None
    assert 1.95 <= found / size <= 2.1


def test_medians_run_every_side_alike() -> None:
    calls = {"a": 0, "b": 0}

    def count(name: str) -> None:
        calls[name] += 1

    runs = {name: lambda name=name: count(name) for name in calls}
    found = measure.medians(runs, measure.Effort(0, 3), "cpu")
    assert set(found) == set(calls)
    assert all(seconds > 0 for seconds in found.values())
    assert min(calls.values()) > 3


# -------------------------------------------------------------------- the report


def fabricated(ours: float, *, peak: float = 1.0, device: str = "cpu") -> Results:
    """Everything measured: by hand a second, losslang `ours`, the others between."""
    seconds = {
        OURS: ours,
        HAND: 1.0,
        "MONAI": 1.2,
        COMPILED: 0.5,
        INDUCTOR: 0.45 if ours < 1 else 0.9,
        PLAIN: 1.0,
        FLAT: 1.0,
        PARTS: 1.0,
        CARELESS: 1.0,
        COPY: 0.01,
    }
    cells: list[Cell] = []
    for work in works.EVERYTHING:
        for shape in work.timed:
            cells.append(Cell(work.name, shape, "", "gradient", value=1e6))
            for side, value in seconds.items():
                cells += [
                    Cell(work.name, shape, side, what, n, value)
                    for n in (1, 2)
                    for what in ("forward", "both")
                ]
                cells.append(
                    Cell(
                        work.name,
                        shape,
                        side,
                        "peak",
                        value=1e6 * (20 if side in (HAND, PLAIN, FLAT) else peak),
                    )
                )
    cells += [
        Cell("compile()", (), side, "both", n, v)
        for n in (1, 2)
        for side, v in ((OURS, ours), ("Hydra", 1.0))
    ]
    cells.append(Cell("ce+dice", (2, 3), "kornia", "note", note="not installed"))
    threads = (1, 2) if device == "cpu" else (2,)
    return Results({"processor": "an abacus"}, device, threads, tuple(cells), missing=("newest",))


def test_a_cell_survives_its_line() -> None:
    cell = Cell("dice", (1, 2), OURS, "both", 2, 0.5)
    assert read([cell.line()]) == (cell,)


def test_fast_and_small_holds_everywhere() -> None:
    rows = asked.rows(fabricated(0.1))
    assert [row.holds for row in rows] == [True] * len(rows)
    assert "10.0x (1 thread), 10.0x (2 threads)" in rows[0].measured


def test_slow_and_large_holds_nowhere() -> None:
    rows = asked.rows(fabricated(2.0, peak=30))
    memory = [row for row in rows if row.asked == "peak memory at most equal"]
    assert len(memory) == 3
    assert [row.holds for row in rows if row not in memory] == [False] * (len(rows) - 3)


def test_nothing_measured_is_said() -> None:
    empty = Results({}, "cpu", (1, 2), ())
    assert {(row.measured, row.holds) for row in asked.rows(empty)} == {("not measured", None)}
    assert "not measured" in report.page(empty, None)
    assert not picture.draw(empty, Path("nowhere.png"))


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_page_renders(device: str) -> None:
    text = report.page(fabricated(0.1, device=device), "results.png")
    assert "![speed and memory](results.png)" in text
    assert "an abacus" in text
    assert "- ce+dice, kornia: not installed" in text
    assert "no hand-written form: `newest`" in text
    assert "| **losslang** | 100 ms | 100 ms |" in text
    assert ("1 thread" in text) == (device == "cpu")
    assert ("| yes |" in text) == (device == "cpu"), "nothing is asked of a GPU"
    for block in text.split("\n\n"):
        assert len({line.count(" | ") for line in block.splitlines() if line.startswith("|")}) <= 1


def test_the_picture_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from matplotlib.image import imread

    assert picture.draw(fabricated(0.1), tmp_path / "results.png")
    pixels = imread(tmp_path / "results.png")
    assert min(pixels.shape[:2]) > 500
    assert pixels[..., :3].std() > 0.1


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (2.0, "2 s"), (0.01234, "12.3 ms"), (4.5e-6, "4.5 us"), (0.1234, "123 ms")],
)
def test_durations_have_three_figures(seconds: float | None, text: str) -> None:
    assert report.duration(seconds) == text


# -------------------------------------------------------------------- the command


def test_an_unknown_name_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.arguments(["--only", "dise"])
    assert "there is no dise" in capsys.readouterr().err


def test_only_the_whole_table_replaces_the_one_that_is_committed() -> None:
    home = Path(command.__file__).parent
    assert command.arguments([]).out == home
    assert command.arguments([]).threads == (1, 2)
    assert command.arguments(["--quick"]).out != home
    assert command.arguments(["--only", "dice,bce+dice"]).out != home
    assert command.arguments(["--quick", "--out", "there"]).out == Path("there")


# -------------------------------------------------------------------- processes in turns


def test_a_side_is_a_process_with_the_losslang_of_its_checkout() -> None:
    with turns.Side(turns.ROOT, "tests.test_bench") as side:
        assert side.ask("a", (1, 2)) == ("a", (1, 2))
        with pytest.raises(RuntimeError, match="ended"):
            side.ask("leave")


def answer(*row: object) -> object:
    """Hands back what a side is asked, but leaves when it is told to."""
    if row == ("leave",):
        raise SystemExit
    return row


def test_the_rows_of_a_busy_machine_are_works() -> None:
    shapes = {work.name: work.shapes for work in works.EVERYTHING}
    assert busy.ROWS[0][1] == shapes["bce+dice"][-1]
    assert busy.ROWS[1][0] in shapes
    assert all(busy.answer("ce", (2, 3, 4, 5), by_hand) > 0 for by_hand in (False, True))


def test_each_side_has_its_median_and_its_worst_beside_that_by_hand() -> None:
    table = [*busy.lines("ce", "idle", {OURS: [0.002, 0.001, 0.009], HAND: [0.004, 0.004, 0.018]})]
    assert table == [
        "| ce | idle | losslang | 2.0 ms | 9.0 ms | 0.50 | 0.50 |",
        "| ce | idle | by hand | 4.0 ms | 18.0 ms | 1.00 | 1.00 |",
    ]


def test_other_processes_are_busy_until_the_end_of_the_block(tmp_path: Path) -> None:
    program = f"import os\nopen(r'{tmp_path}/' + str(os.getpid()), 'w')\nwhile True: pass"
    with busy.busy(program, 2):
        while len(numbers := [int(file.name) for file in tmp_path.iterdir()]) < 2:
            time.sleep(0.01)
        for number in numbers:
            os.kill(number, 0)
    for number in numbers:
        with pytest.raises(ProcessLookupError):
            os.kill(number, 0)


# -------------------------------------------------------------------- every size


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_row_of_the_sweep_computes_the_number_by_hand(row: Row, dtype: str) -> None:
    import torch

    call = prepared(row.work, row.work.tiny, "cpu", getattr(torch, dtype))
    by_hand, ours = (outcome(side, call, gradients=True) for side in sides(row.work, row.work.tiny, call))
    if dtype == "float32":
        assert difference(ours, by_hand) == ""
    else:
        torch.testing.assert_close(ours.value.float(), by_hand.value.float(), rtol=0.03, atol=0.03)
        assert ours.gradients[0].dtype == torch.bfloat16


def test_a_masked_row_stays_finite_by_hand_too() -> None:
    """It is held to a form that may be used where what is masked is NaN; torch's own cross entropy may not."""
    for row in ROWS:
        if row.variant == "mask" and row.family in ("bce+dice", "focal+dice+tversky", "mse"):
            call = prepared(row.work, row.work.tiny, "cpu")
            call.pred.data = call.pred.data.masked_fill(~call.batch["valid"], float("nan"))
            for side in sides(row.work, row.work.tiny, call):
                found = outcome(side, call, gradients=True)
                assert found.value.isfinite(), (row.name, side.name)
                assert found.gradients[0].isfinite().all(), (row.name, side.name)


def test_the_sweep_has_sizes_in_steps_of_the_square_root_of_two() -> None:
    assert (sweep.SIZES[0], sweep.SIZES[1], sweep.SIZES[-1]) == (2**10, 1448, 2**26)
    for row in ROWS:
        for size in sweep.SIZES:
            assert 0.9 < math.prod(row.shape(size)) / size < 1.15, (row.name, size)


def points() -> tuple[Point, ...]:
    """A row that is fast, one that is slow at one size, and one that may take ten microseconds more."""
    return (
        Point("ce", "plain", 1024, 1, "float32", 1.0, 0.5, 2.0),
        Point("ce", "mask", 1024, 1, "float32", 1.0, 1.2, 1.1),
        Point("ce", "mask", 1448, 1, "float32", 1.0, 1.1, 1.1),
        Point("mse", "plain", 1024, 2, "bfloat16", 10e-6, 1.9, 2.1, 2.5, 3e-3),
    )


def test_what_is_too_slow_is_said() -> None:
    found = Sweep({"processor": "an abacus"}, points(), "v1")
    assert [point.holds for point in found.points] == [True, False, True, True]
    assert sweep_report.summary(found) == "1 of 4 points. At v1: 2."
    text = sweep_report.page(found, None)
    assert "| ce, mask | **1.20** at 2^10 | - |" in text
    assert "| mse, plain | - | 1.90 at 2^10 |" in text
    assert "| ce, mask | float32, 1 thread | 2^10: 1.20 |" in text
    assert "| mse, plain | bfloat16, 2 threads | 2.50 at 2^10 | 2.50 at 2^10 | 3e-03 |" in text


def test_the_sweep_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from matplotlib.image import imread

    assert sweep_picture.draw(Sweep({}, points()), tmp_path / "sweep.png")
    assert imread(tmp_path / "sweep.png")[..., :3].std() > 0.1
    assert not sweep_picture.draw(Sweep({}, ()), tmp_path / "nothing.png")


def test_a_part_of_the_sweep_does_not_replace_what_is_committed(capsys: pytest.CaptureFixture[str]) -> None:
    home = Path(command.__file__).parent
    assert sweep.arguments([]).out == home
    quick = sweep.arguments(["--quick"])
    assert (quick.out != home, quick.threads, quick.dtypes, len(quick.sizes)) == (True, (1,), ("float32",), 9)
    assert {row.family for row in sweep.arguments(["--only", "mse"]).rows} == {"mse"}
    with pytest.raises(SystemExit):
        sweep.arguments(["--only", "dise"])
    assert "bce+dice, plain" in capsys.readouterr().err


def test_a_point_is_measured_in_turns() -> None:
    with turns.Side(turns.ROOT, "bench.sweep") as here, turns.Side(turns.ROOT, "bench.sweep") as before:
        point = sweep.measured(ROWS[0], 1, "bfloat16", 1024, here, before)
    assert (point.row, point.panel, point.size) == (("bce+dice", "plain"), (1, "bfloat16"), 1024)
    assert min(point.by_hand, point.ratio, point.then or 0, point.as_given or 0, point.error or 0) > 0


@pytest.mark.skipif(not measure.RESET.exists(), reason="no /proc")
@pytest.mark.parametrize("dtype", linear_ce.DTYPES)
def test_linear_ce_is_measured_beside_torch(dtype: str) -> None:
    import torch

    if not hasattr(torch.nn.functional, "linear_cross_entropy"):
        pytest.skip("newer than this torch")
    for side in linear_ce.SIDES:
        assert linear_ce.answer("error", (6, 5, 7), dtype, side) < (1e-6 if dtype == "float32" else 1e-2)
        assert linear_ce.answer("time", (6, 5, 7), dtype, side) > 0


def test_the_table_of_linear_ce_has_ratios_to_losslang() -> None:
    rows = [((6, 5, 7), "float32", side) for side in linear_ce.SIDES[:2]]
    assert [*linear_ce.lines(rows, [[0.002, 0.003]], [(2_000_000, 1e-7), (-4096, 1e-6)])] == [
        "| 6x5x7 | float32 | losslang | 2 ms (1.00) | 2 MB | 1.0e-07 |",
        "| 6x5x7 | float32 | torch | 3 ms (1.50) | 0 MB | 1.0e-06 |",
    ]


@pytest.mark.parametrize("name", first.SIZES)
def test_a_new_size_is_measured_beside_a_seen_one(name: str) -> None:
    text, channels, _ = first.SIZES[name]
    assert math.isfinite(first.answer("sizes", text, channels, 2 * first.NEW))
    assert math.isfinite(first.answer("first", text, (1, channels, 9, 10)))


def test_the_first_compile_is_measured_beyond_torch() -> None:
    """What a whole process takes holds that of `import torch` and of its exit too."""
    inside, whole = first.beyond_torch(first.ROOT), first.whole_process(first.ROOT, first.COMPILES)
    assert 0 < inside < whole


def test_a_sweep_goes_on_from_the_points_that_are_noted(tmp_path: Path) -> None:
    file, (point, *_) = tmp_path / "build" / "sweep.jsonl", points()
    assert not Record(file, {"code": "a"}).known
    Record(file, {"code": "a"}).add(point)
    assert list(Record(file, {"code": "a"}).known.values()) == [point]
    assert not Record(file, {"code": "b"}).known
