"""The command line: whole runs compared with what they printed, and the promises to the shell around it.

UPDATE_GOLDEN=1 writes what the runs of tests/tools/errors print now; read the difference before you keep it.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import stat
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

import losslang
from losslang.primitives.primitive import Reduction
from losslang.registry import current_registry
from losslang.tools.cli import main
from losslang.tools.cli.inputs import WITH_KEY

ROOT = Path(__file__).parents[2]
ERRORS = Path(__file__).parent / "errors"
GOLDEN = sorted(ERRORS.glob("*.yaml"))

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the colours and the width of whoever runs the tests."""
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def shell(*arguments: str, stdin: bytes = b"", **environment: str) -> subprocess.CompletedProcess[bytes]:
    """A run in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "losslang", *arguments],
        input=stdin,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        check=False,
    )


def timeless(text: str) -> str:
    return re.sub(r"in \d+ ms", "in 0 ms", text)


def run(capsys: Capture, *arguments: str) -> tuple[int, str, str]:
    status = main(arguments)
    captured = capsys.readouterr()
    return status, timeless(captured.out), timeless(captured.err)


# ---------------------------------------------------------------------------- whole runs


@pytest.mark.parametrize("file", GOLDEN, ids=lambda file: file.stem)
def test_golden(file: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first line of a file says how losslang is run on it; the .out beside it, what that prints."""
    monkeypatch.chdir(ERRORS)
    command = file.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
    program, *arguments = shlex.split(command)
    assert program == "losslang"
    status, out, err = run(capsys, *arguments)
    found = f"$ {command}\n{out}{err}[exit {status}]\n"
    expected = file.with_suffix(".out")
    if os.environ.get("UPDATE_GOLDEN"):
        expected.write_text(found, encoding="utf-8")
    assert found == expected.read_text(encoding="utf-8")


def test_golden_runs_meet_many_codes() -> None:
    text = "".join(file.with_suffix(".out").read_text(encoding="utf-8") for file in GOLDEN)
    assert len(set(re.findall(r"[EW]\d{3}", text))) >= 40


# ---------------------------------------------------------------------------- check


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["-e", "ce + dice"], 0),
        (["-e", "dice"], 0),  # a warning
        (["-e", "dise"], 1),
        (["-e", "ce", "-e", "dise"], 1),
        (["nowhere.yaml"], 2),
        (["."], 2),
        (["ce + dice"], 2),
        (["-e", "dise", "nowhere.yaml"], 2),
        (["empty.yaml"], 0),  # nothing of ours
        (["empty.yaml", "--require"], 2),
        (["empty.yaml", "--key", "loss"], 2),
        (["broken.yaml"], 2),
        (["latin.yaml"], 2),
        (["good.loss"], 0),
        (["good.loss", "nowhere.yaml"], 2),
        (["good.yaml:b"], 0),
        (["good.yaml:c"], 1),
        (["good.yaml:d"], 2),
        (["--key", "?", "good.yaml"], 1),
    ],
)
@pytest.mark.parametrize("output", ["full", "concise", "json", "github", "sarif"])
def test_exit_status(folder: Path, capsys: Capture, arguments: list[str], status: int, output: str) -> None:
    (folder / "empty.yaml").write_text("lr: 0.1\n")
    (folder / "broken.yaml").write_text("loss: [ce\n")
    (folder / "latin.yaml").write_bytes("loss: ce # größer\n".encode("latin-1"))
    (folder / "good.loss").write_text("seg = ce\r\nseg + dice\r\n", newline="")
    (folder / "good.yaml").write_text("a: ce\nb: l1\nc: dise\n")
    found, out, err = run(capsys, "check", "--output", output, *arguments)
    assert found == status
    assert out + err
    if output in ("json", "sarif"):
        assert not err
        assert json.loads(out) is not None


@pytest.mark.parametrize(
    "arguments",
    [
        ["check"],
        ["check", "--set", "alpha", "-e", "ce"],
        ["check", "--set", "alpha=many", "-e", "ce"],
        ["check", "--set", "alpha=nan", "-e", "ce"],
        ["check", "--output", "xml", "-e", "ce"],
        ["chekc"],
        ["fmt"],
        ["explain"],
        ["list", "--kind", "optimizer"],
    ],
)
def test_usage(capsys: Capture, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert "usage: losslang" in capsys.readouterr().err


def test_no_command_helps(capsys: Capture) -> None:
    assert run(capsys)[0] == 2
    assert "commands:" in run(capsys)[2]


def test_success_speaks(capsys: Capture) -> None:
    assert run(capsys, "check", "-e", "0.5*bce(sigmoid) + dice(smooth=1)") == (
        0,
        "<expression>:1:1  0.5*bce(sigmoid) + dice(sigmoid, smooth=1)  # dice: sigmoid from bce\n\n1 expression, no mistakes in 0 ms\n",
        "",
    )


def test_json(capsys: Capture) -> None:
    (first, second) = json.loads(run(capsys, "check", "--output", "json", "-e", "dise + dice(smoth=1)")[1])
    assert (first["code"], first["location"]) == ("E101", {"row": 1, "column": 1})
    assert (second["code"], second["fix"]) == ("E201", "did you mean `smooth`?")


def test_json_is_empty_when_all_is_well(capsys: Capture) -> None:
    assert run(capsys, "check", "--output", "json", "-e", "ce") == (0, "[]\n", "")


def test_set(folder: Path, capsys: Capture) -> None:
    (folder / "a.loss").write_text("alpha = 0.5; alpha*ce + l1")
    (folder / "b.loss").write_text("mse")
    _, out, _ = run(capsys, "check", "a.loss", "b.loss", "--set", "alpha=0.3", "--set", "l1.weight=2")
    assert "0.3*ce(softmax) + 2*l1" in out
    assert run(capsys, "check", "a.loss", "b.loss", "--set", "beta=1")[0] == 1


def test_paths_are_printed_as_typed(folder: Path, capsys: Capture) -> None:
    (folder / "a.yaml").write_text("loss: ce\n")
    typed = os.path.join(".", "a.yaml")
    assert run(capsys, "check", typed)[1].startswith(f"{typed}:1:7  loss  ce(softmax)")


@pytest.mark.parametrize(
    ("argument", "file", "key"),
    [
        ("a.yaml:loss", "a.yaml", "loss"),
        ("C:\\conf\\a.yml:model.loss", "C:\\conf\\a.yml", "model.loss"),
        ("a.TOML:losses[*]", "a.TOML", "losses[*]"),
        ("a.json:a:b", "a.json", "a:b"),
    ],
)
def test_file_and_key(argument: str, file: str, key: str) -> None:
    found = WITH_KEY.fullmatch(argument)
    assert found
    assert (found["file"], found["key"]) == (file, key)


def test_a_file_with_a_colon_in_its_name(folder: Path, capsys: Capture) -> None:
    (folder / "a.yaml:b.yaml").write_text("loss: ce\n")
    assert run(capsys, "check", "a.yaml:b.yaml")[0] == 0


# ---------------------------------------------------------------------------- the shell around it


def test_standard_input() -> None:
    done = shell("check", "-", stdin=b"\xef\xbb\xbfseg = ce\r\nseg + dise\r\n")
    assert done.returncode == 1
    assert b"<stdin>:2:7" in done.stdout


def test_standard_input_that_is_no_text() -> None:
    done = shell("check", "-", stdin=b"ce + \xff\x00")
    assert done.returncode == 1
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("environment", "colored"),
    [({}, False), ({"FORCE_COLOR": "1"}, True), ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False)],
)
def test_color(environment: dict[str, str], colored: bool) -> None:
    done = shell("check", "-e", "dise", **environment)
    assert (b"\x1b[" in done.stdout) == colored


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo terminals")
@pytest.mark.parametrize(("no_color", "colored"), [("", True), ("1", False)])
def test_color_on_a_terminal(no_color: str, colored: bool) -> None:
    import pty

    reader, terminal = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": no_color, "TERM": "xterm"}
    command = [sys.executable, "-m", "losslang", "check", "-e", "dise"]
    subprocess.run(command, stdout=terminal, env=environment, check=False)
    os.close(terminal)
    said = os.read(reader, 100_000)
    os.close(reader)
    assert b"dise" in said
    assert (b"\x1b[" in said) == colored


def test_nobody_listens() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "losslang", "list"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, env=environment, check=False)
    os.close(writer)
    assert done.stderr == b""
    assert done.returncode == 0


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_a_full_disk() -> None:
    command = [sys.executable, "-m", "losslang", "list"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, env=environment, check=False)
    assert done.returncode == 2
    assert b"Traceback" not in done.stderr
    assert b"got lost" in done.stderr


def test_a_terminal_without_greek() -> None:
    done = shell("show", "focal", PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert b"(1 - p_t)^? log p_t" in done.stdout


LOADED = "import sys; print('LOADED', *(name for name in sys.modules if '.' not in name))"


def loaded(code: str) -> set[str]:
    """The top-level modules that a process has loaded after `code`."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", f"{code}; {LOADED}"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    return set(done.stdout.rpartition("LOADED ")[2].split())


COMMANDS = [
    ["check", "-e", "0.5*bce(sigmoid) + dice(smooth=1)", str(ERRORS / "segmentation.yaml")],
    ["check", "-e", "dise", "--output", "sarif"],
    ["explain", "ce(class_weight=balanced) + dice"],
    ["list"],
    ["show", "dice"],
    ["plan", "ce + dice"],
    ["lock", "ce + ramp(0, 1, steps=9)*dice"],
    ["diff", "ce + dice", "ce + 0.5*dice"],
    ["fmt", "--check", str(ERRORS / "segmentation.yaml")],
]


@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda arguments: arguments[0])
def test_torch_stays_out(arguments: Sequence[str]) -> None:
    found = loaded(f"from losslang.tools.cli import main; main({list(arguments)!r})")
    assert "losslang" in found
    assert not found & {"torch", "numpy"}


def test_that_the_test_above_can_fail() -> None:
    pytest.importorskip("torch")
    assert "torch" in loaded("from losslang.tensors.lazy import torch; torch.float32")


def test_an_expression_needs_no_yaml() -> None:
    assert "yaml" not in loaded("from losslang.tools.cli import main; main(['check', '-e', 'ce'])")


# ---------------------------------------------------------------------------- explain, list, show, plan


def test_explain(capsys: Capture) -> None:
    text = "0.5*bce_with_logits + dice(smooth=1) + 0*l1 + metric(sqrt(mse)) + batch.w*(1 - cosine@z)"
    status, out, _ = run(capsys, "explain", text)
    assert status == 0
    for part in (
        "activation   sigmoid (`bce_with_logits` is `bce(sigmoid)`): logits to probabilities",
        "activation   sigmoid (taken from `bce`): logits to probabilities",
        "smooth=1       (default 1e-5)",
        "squared=false  (default)",
        "dropped, because a 0 is written in place: `l1`",
        "metric       logged, adds nothing to the total, has no gradient",
        "values       1 - v in the place of v, before the reduction",
        "fingerprint ",
    ):
        assert part in out


def test_explain_ends_with_the_warnings(capsys: Capture) -> None:
    assert "warning[W301]" in run(capsys, "explain", "dice")[1]


def test_explain_a_file(capsys: Capture) -> None:
    status, out, err = run(capsys, "explain", str(ERRORS / "activations.yaml"))
    assert status == 1
    assert "nobody.loss\n\ndice + jaccard" in out
    assert "E302" in err


@pytest.mark.parametrize("code", ["E301", "w301"])
def test_explain_a_code(capsys: Capture, code: str) -> None:
    status, out, _ = run(capsys, "explain", code)
    assert status == 0
    assert out.startswith(code.upper())
    assert "Instead of" in out


def test_explain_an_unknown_code(capsys: Capture) -> None:
    status, out, err = run(capsys, "explain", "E999")
    assert (status, out) == (1, "")
    assert "no mistake has the code `E999`" in err


@pytest.mark.parametrize("kind", ["loss", "activation", "reduction", "function"])
def test_list(capsys: Capture, kind: str) -> None:
    status, out, _ = run(capsys, "list", "--kind", kind)
    assert status == 0
    assert out in run(capsys, "list")[1] + "\n"
    assert max(map(len, out.splitlines())) <= 120


def names() -> list[str]:
    from losslang.registry import current_registry
    from losslang.tools.cli.listing import KINDS

    return sorted({name for kind in KINDS.values() for name in current_registry().names(kind)})


@pytest.mark.parametrize("name", [*names(), "pred", "metric", "mask", "smooth", "class_weight"])
def test_show(capsys: Capture, name: str) -> None:
    status, out, err = run(capsys, "show", name)
    assert (status, err) == (0, "")
    assert name in out


@pytest.mark.parametrize(("name", "meant"), [("dise", "`dice`"), ("BCEWithLogitsLoss", "`bce(sigmoid)`")])
def test_show_an_unknown_name(capsys: Capture, name: str, meant: str) -> None:
    status, out, err = run(capsys, "show", name)
    assert (status, out) == (1, "")
    assert f"there is no name `{name}`" in err
    assert meant in err


def test_show_describes_every_universal_option() -> None:
    from losslang.tools.cli.show import UNIVERSALLY
    from losslang.vocabulary import UNIVERSAL

    assert set(UNIVERSALLY) == set(UNIVERSAL)


def test_plan(capsys: Capture) -> None:
    tree = run(capsys, "plan", "--stage", "tree", "a = 2; a*ce@seg + dice(smooth=1)")[1]
    assert tree == (
        "program\n  binding a\n    number 2\n  sum +\n    product *\n      call a\n      routed\n"
        "        call ce\n        head\n          path seg\n    call dice\n      option smooth\n"
        "        number 1\n"
    )
    meaning = run(capsys, "plan", "--stage", "meaning", "a = 2; a*ce", "--set", "a=3")[1]
    assert meaning.startswith("ce: 3*ce(softmax")
    plans: dict[str, str] = {}
    for stage in ("plan", "optimized", "improved"):
        status, plans[stage], _ = run(capsys, "plan", "--stage", stage, "ce + dice")
        assert status == 0
        assert "total" in plans[stage]
    assert plans["plan"] != plans["optimized"] == plans["improved"]
    assert run(capsys, "plan", "dise")[0] == 1


def test_version(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0
    assert re.fullmatch(r"losslang (\d+\.\d+.*|\(not installed\))\n", capsys.readouterr().out)


@pytest.mark.parametrize("command", ["check", "explain", "list", "show", "fmt", "plan"])
def test_every_help_has_an_example(capsys: Capture, command: str) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    assert "example:\n  losslang " + command in capsys.readouterr().out


# ---------------------------------------------------------------------------- fmt

UGLY = """\
model:
  loss:   0.50*bce( sigmoid )+dice(smooth = 1)   # kept
aux: {loss: "ce+ dice"}
last:
  loss: |
    seg=ce+dice   # both
    seg+.5*l1@depth
"""
FINE = """\
model:
  loss:   0.5*bce(sigmoid) + dice(smooth=1)   # kept
aux: {loss: "ce + dice"}
last:
  loss: |
    seg = ce + dice  # both
    seg + 0.5*l1@depth
"""


def test_fmt(folder: Path, capsys: Capture) -> None:
    file = folder / "a.yaml"
    file.write_text(UGLY)
    assert run(capsys, "fmt", "a.yaml") == (0, "", "rewrote a.yaml\n1 file: 1 rewritten\n")
    assert file.read_text() == FINE
    assert run(capsys, "fmt", "a.yaml") == (0, "", "1 file: 1 unchanged\n")


def test_fmt_check_and_diff_write_nothing(folder: Path, capsys: Capture) -> None:
    (folder / "a.yaml").write_text(UGLY)
    (folder / "b.yaml").write_text(FINE)
    status, out, err = run(capsys, "fmt", "--check", "a.yaml", "b.yaml")
    assert (status, out) == (1, "would rewrite a.yaml\n")
    assert err == "2 files: 1 would change, 1 unchanged\n"
    status, out, _ = run(capsys, "fmt", "--diff", "a.yaml")
    assert status == 0
    assert {'-aux: {loss: "ce+ dice"}', '+aux: {loss: "ce + dice"}'} < set(out.splitlines())
    assert run(capsys, "fmt", "--diff", "--check", "a.yaml")[0] == 1
    assert (folder / "a.yaml").read_text() == UGLY
    assert run(capsys, "fmt", "--check", "b.yaml")[0] == 0


def test_fmt_leaves_what_it_cannot_read(folder: Path, capsys: Capture) -> None:
    broken = "a: {loss: ce+dice}\nb: {loss: ce + * dice}\n"
    (folder / "a.yaml").write_text(broken)
    (folder / "b.loss").write_text("ce+dice")
    status, _, err = run(capsys, "fmt", "a.yaml", "b.loss", "nowhere.loss")
    assert status == 2
    assert "error[E006]" in err
    assert "error[E401]" in err
    assert "3 files: 1 rewritten, 2 left alone" in err
    assert (folder / "a.yaml").read_text() == broken
    assert (folder / "b.loss").read_text() == "ce + dice\n"


@pytest.mark.skipif(sys.platform == "win32", reason="modes and links of Unix")
def test_fmt_keeps_what_it_does_not_format(folder: Path, capsys: Capture) -> None:
    file = folder / "a.yaml"
    file.write_bytes(("\ufeff" + UGLY + "größe: 1\n").replace("\n", "\r\n").encode())
    file.chmod(0o640)
    (folder / "link.yaml").symlink_to("a.yaml")
    assert run(capsys, "fmt", "link.yaml")[0] == 0
    assert file.read_bytes() == ("\ufeff" + FINE + "größe: 1\n").replace("\n", "\r\n").encode()
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert (folder / "link.yaml").is_symlink()
    assert sorted(os.listdir(folder)) == ["a.yaml", "link.yaml"]


def test_fmt_does_not_touch_a_file_that_is_fine(folder: Path, capsys: Capture) -> None:
    file = folder / "a.yaml"
    file.write_text(FINE)
    before = file.stat()
    run(capsys, "fmt", "a.yaml")
    after = file.stat()
    assert (before.st_mtime_ns, before.st_ino) == (after.st_mtime_ns, after.st_ino)


@pytest.mark.parametrize("file", GOLDEN, ids=lambda file: file.stem)
def test_fmt_is_idempotent(file: Path, folder: Path, capsys: Capture) -> None:
    copy = folder / file.name
    copy.write_text(file.read_text(encoding="utf-8"), encoding="utf-8")
    first = run(capsys, "fmt", file.name)
    once = copy.read_text(encoding="utf-8")
    assert run(capsys, "fmt", file.name)[0] == first[0]
    assert copy.read_text(encoding="utf-8") == once


def test_fmt_standard_input() -> None:
    done = shell("fmt", "-", stdin=b"# two\r\nce+dice")
    assert (done.returncode, done.stdout) == (0, b"# two\nce + dice\n")
    assert shell("fmt", "--check", "-", stdin=b"ce+dice").returncode == 1
    assert shell("fmt", "--check", "-", stdin=b"ce + dice\n").returncode == 0
    refused = shell("fmt", "-", stdin=b"ce +")
    assert (refused.returncode, refused.stdout) == (1, b"")
    assert b"E006" in refused.stderr


def test_the_public_explain_is_a_function(capsys: Capture) -> None:
    import losslang

    run(capsys, "explain", "ce")
    assert losslang.explain("E301").startswith("E301: ")
    with pytest.raises(losslang.LossError, match="E101"):
        losslang.explain("dise")


def test_show_says_that_a_regularizer_reads_no_tensor(capsys: Capture) -> None:
    code, out, _ = run(capsys, "show", "l2_reg")
    assert code == 0
    assert "reads        the parameters of `compile(params=model)`, and no tensor of the call" in out
    assert not any(line.startswith(("tensors", "activation", "reduction")) for line in out.splitlines())


@pytest.mark.parametrize(
    ("text", "quotient"),
    [
        ("ce(avg_factor=batch.n)", "Σ v / batch.n"),
        ("ce(class_weight=[1, 2, 3], avg_factor=batch.n)", "Σ w v / batch.n"),
        ("l1(weight=batch.w, avg_factor=7)", "Σ w v / 7"),
        ("l1(avg_factor=batch.n*batch.k)", "Σ v / (batch.n*batch.k)"),
    ],
)
def test_explain_divides_by_the_avg_factor(text: str, quotient: str) -> None:
    (row,) = (line for line in losslang.explain(text).splitlines() if "  reduction " in line)
    assert f": {quotient} over" in row
    assert "mean" not in row


def test_explain_says_that_a_regularizer_reads_parameters() -> None:
    said = losslang.explain("l2_reg")
    assert "reads        the parameters" in said
    assert "activation" not in said


def test_show_lists_the_reductions(capsys: Capture) -> None:
    _, out, _ = run(capsys, "show", "reduction")
    assert all(f"\n  {reduction.name}" in out for reduction in current_registry().all(Reduction))
    out = " ".join(out.split())
    assert all(reduction.summary.rstrip(".") in out for reduction in current_registry().all(Reduction))
    assert "`kl`: batchmean" in out
    assert "`rmse`, takes none" in out
    assert "only of losses that tell positives from the background" in out


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("weight", ["`0.5*l1`", "`class_weight`", "value        a path, such as `batch.w`"]),
        ("avg_factor", ["`ce(avg_factor=batch.n)`", "no other reduction", "a number above 0, or a path"]),
        ("mask", ["a path, such as `batch.valid`"]),
    ],
)
def test_show_says_what_an_option_takes(capsys: Capture, name: str, said: list[str]) -> None:
    _, out, _ = run(capsys, "show", name)
    for each in said:
        assert each in out.replace("\n", " ") or each in out


@pytest.mark.parametrize("text", ["-l1", "-0.5*ce + l1", "-(ce + l1)", "-huber", "-epe"])
def test_an_expression_may_begin_with_a_minus(capsys: Capture, text: str) -> None:
    """It is no option of the command line: behind `-e`, and where an expression is awaited."""
    beside = run(capsys, "check", "-e", text, "--output", "json")
    assert run(capsys, "check", f"-e={text}", "--output", "json") == beside
    assert beside[0] == (text == "-epe")
    for command in (["explain"], ["plan", "--stage", "tree"]):
        assert run(capsys, *command, text) == run(capsys, *command, "--", text)


def test_an_option_is_no_expression(capsys: Capture) -> None:
    with pytest.raises(SystemExit):
        main(["check", "-e", "--strict"])
    assert "expected one argument" in capsys.readouterr().err


def test_show_writes_a_combinator_as_it_is_called(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "gradmatch"]) == 0
    assert "gradmatch(a, b, scale=1" in capsys.readouterr().out
    assert main(["show", "balance"]) == 0
    page = capsys.readouterr().out
    assert "balance(a, b, ..., " in page
    assert "wrt=none" not in page
