"""Configs as Hydra, LightningCLI and other libraries keep them: what is ours is checked, the rest left alone."""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from _projects import FILLED, MODULE, project_codes

import losslang
from losslang.diagnostics.rendering import full
from losslang.meaning.checker import analyze
from losslang.tools.cli import main
from losslang.tools.configfile import read
from losslang.tools.configfile.other_libraries import WORDS
from losslang.tools.configfile.targets import ARGUMENTS, TARGETS
from losslang.tools.expressions import FOREIGN, GIVEN_ELSEWHERE, Expressions

Capture = pytest.CaptureFixture[str]
ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys: Capture, *arguments: str) -> tuple[int, str]:
    status = main(arguments)
    captured = capsys.readouterr()
    return status, re.sub(r"in \d+ ms", "in 0 ms", captured.out + captured.err)


def found(text: str, **asked: Any) -> str:
    """The expressions of a YAML file, the mistakes with their places, and why values were left alone."""
    reading = read("c.yaml", text, **asked)
    return " ".join([*(f"{s.key}={s.text}" for s in reading.sources), *codes(reading), *reading.left])


def codes(reading: Expressions) -> list[str]:
    """All mistakes of a file, those of its expressions with the settings of the file too."""
    inside = [
        d
        for at, s in enumerate(reading.sources)
        for d in analyze(s, overrides=reading.settings_of(at)).diagnostics
    ]
    return [f"{d.code}@{d.source.place(d.span.start)}" for d in (*reading.diagnostics, *inside)]


# ---------------------------------------------------------------------------- Hydra and OmegaConf


@pytest.mark.parametrize(
    "choice",
    [
        "loss: dice_ce",
        "override /loss: dice_ce",
        "loss@train.loss: dice_ce",
        "loss: [a, b]",
        "loss: null",
        "loss: ???",
        "/loss: sub/dice_ce.yaml",
        "optional loss: ${model}_loss",
        "criterion@_global_: x",
    ],
)
def test_a_defaults_list_holds_no_expression(choice: str) -> None:
    text = f"defaults:\n  - base\n  - {choice}\n  - _self_\n"
    assert found(text) == "E406@1:1"
    assert "--key" in read("c.yaml", text).diagnostics[0].fix
    assert "defaults" not in read("c.yaml", text).diagnostics[0].fix
    assert found(text + "model: {loss: ce}\n") == "model.loss=ce"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("defaults: [{loss: ce + dise}]\n", "defaults[0].loss=ce + dise E101@1:24"),  # no name of a file
        ("train: {defaults: [{loss: dise}]}\n", "train.defaults[0].loss=dise E101@1:27"),  # not at the top
        ("defaults: {loss: dise}\n", "defaults.loss=dise E101@1:18"),  # no list
        ("loss: ???\n", GIVEN_ELSEWHERE),
        ("loss: {_target_: losslang.compile, text: '???'}\n", GIVEN_ELSEWHERE),
    ],
)
def test_what_another_file_gives(text: str, wanted: str) -> None:
    assert found(text) == wanted


@pytest.mark.parametrize(("text", "wanted"), FILLED)
def test_interpolations_that_the_file_answers(text: str, wanted: str) -> None:
    reading = read("c.yaml", text)
    assert [source.text for source in reading.sources] == [wanted]
    assert not reading.left
    assert codes(reading) == []


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("loss: ${other}\n", GIVEN_ELSEWHERE),
        ("loss: ${oc.env:LOSS}\n", GIVEN_ELSEWHERE),
        ("loss: ${a}\na: ${loss}\n", GIVEN_ELSEWHERE),
        ("loss: ${a}\na: ???\n", GIVEN_ELSEWHERE),
        ("loss: ${other}*ce\n", "W420@1:7"),
        ("loss: ce + ${oc.env:X}*dice\n", "W420@1:12"),
        ("loss: ce + ${a.${b}}*dice\nb: c\na: {c: 2}\n", "W420@1:12"),
        ("w: ???\nloss: ${w}*ce\n", "W420@2:7"),
        ("w: null\nloss: ${w}*ce\n", "W420@2:7"),
        ("w: {a: 1}\nloss: ${w}*ce\n", "W420@2:7"),
        ("# @package train\nw: 2\nloss: ${w}*ce\n", "W420@3:7"),  # another file's `w`
        ("loss: ${...w}*ce\nw: 1\n", "W420@1:7"),
        ("loss: ${a}${a}\na: ${b}${b}\nb: ${a}\n", "W420@1:7"),
        ("loss: ${lr}\nlr: 0.1\n", "E409@2:5"),  # answered, by a number
    ],
)
def test_interpolations_that_the_file_does_not_answer(text: str, wanted: str) -> None:
    assert found(text) == wanted


@pytest.mark.parametrize("text", ["loss: ${other}\n", "loss: ${other}*ce\n", "loss: ce + ${oc.env:X}*dice\n"])
def test_a_composed_config_answers_all_or_is_wrong(text: str) -> None:
    (wrong,) = read("<stdin>", text, suffix=".yaml").diagnostics
    assert wrong.code == "E411"
    assert "--resolve" in wrong.fix


@pytest.mark.parametrize(
    ("suffix", "text"), [("toml", "w = 1\nloss = '${w}*ce'"), ("json", '{"w": 1, "loss": "${w}*ce"}')]
)
def test_omegaconf_reads_yaml_alone(suffix: str, text: str) -> None:
    assert [d.code for d in read(f"c.{suffix}", text).diagnostics] == ["E411"]


def test_a_caret_stands_below_what_is_written() -> None:
    (source,) = read("c.yaml", "w: 0.125\nloss: ${w}*ce + ${w}*dise\n").sources
    (wrong,) = analyze(source).diagnostics
    assert "2 | loss: ${w}*ce + ${w}*dise\n  |                      ^^^^ unknown" in full(wrong)
    (source,) = read("c.yaml", "w: dise\nloss: ce + ${w}(smooth=1)\n").sources
    (wrong,) = analyze(source).diagnostics
    assert "2 | loss: ce + ${w}(smooth=1)\n  |            ^^^^" in full(wrong)


def test_fills_of_fills_end() -> None:
    bomb = (
        "a0: 1+1\n" + "".join(f"a{i}: {f'${{a{i - 1}}}' * 20}\n" for i in range(1, 12)) + "loss: ${a11}*ce\n"
    )
    assert [d.code for d in read("c.yaml", bomb).diagnostics] == ["W420"]


# ---------------------------------------------------------------------------- what builds a loss

HYDRA = "loss:\n  _target_: losslang.compile\n  text: a = 1; a*ce + dice\n"
LIGHTNING = (
    "model:\n  loss:\n    class_path: losslang.compile\n    init_args:\n      text: a = 1; a*ce + dice\n"
)


def test_the_text_of_a_target_is_an_expression() -> None:
    assert found(HYDRA) == "loss.text=a = 1; a*ce + dice"
    assert found(LIGHTNING) == "model.loss.init_args.text=a = 1; a*ce + dice"
    assert found("_target_: losslang.compile\ntext: dise\n") == "text=dise E101@2:7"
    assert found("x: {_target_: losslang.runtime.module.compile, text: ce}\n") == "x.text=ce"
    assert found("loss: {_target_: losslang.compile, _partial_: true, text: 5}\n") == "E409@1:59"
    assert found("loss: {_target_: losslang.compile, text: '${w}*ce'}\nw: 2\n") == "loss.text=2*ce"


@pytest.mark.parametrize(
    ("overrides", "wanted"),
    [
        ("{a: 0.5, dice.smooth: 1e-5, ce.weight: 2}", ""),
        ("{a: '${w}'}", ""),
        ("{a: '???', dice.smooth: '${other}'}", ""),
        ("{b: 0.5}", "E108"),
        ("{dice.smoth: 1}", "E108"),
        ("{a: '1e-5'}", "E423"),
        ("{dice.smooth: '1'}", "E423"),
        ("{a: high}", "E202"),
        ("{a: null}", "E202"),
        ("{a: true}", "E202"),
        ("{dice.smooth: -1}", "E202"),
        ("{dice: {smooth: 1, weight: 2}}", ""),
        ("{dice: {smoth: 1}}", "E108"),
        ("{dice: {smooth: '1'}}", "E423"),
        ("{dice: {smooth: {a: 1}}}", "E108"),
        ("null", ""),
    ],
)
def test_the_overrides_of_a_target_are_checked(overrides: str, wanted: str) -> None:
    """In the place where they are written. OmegaConf reads `1e-5` as a number, and hands on what is quoted."""
    reading = read("c.yaml", f"{HYDRA}  overrides: {overrides}\nw: 0.5\n")
    found = [d for s in reading.sources for d in analyze(s, overrides=reading.settings_of(0)).diagnostics]
    assert [d.code for d in found] == wanted.split()
    assert all(d.source.place(d.span.start).row == 4 for d in found)
    assert not reading.diagnostics


@pytest.mark.parametrize(
    "command", [["check"], ["explain"], ["plan", "--stage", "meaning"], ["plan", "--stage", "run"]]
)
def test_every_command_reads_the_overrides(folder: Path, capsys: Capture, command: list[str]) -> None:
    (folder / "c.yaml").write_text(HYDRA + "  overrides: {a: 0.125}\n")
    status, told = run(capsys, *command, "c.yaml")
    assert status == 0
    assert "0.125" in told


def test_a_quoted_number_is_a_text_for_lightning_too() -> None:
    """jsonargparse makes a number of it; `compile(**init_args)` of what PyYAML read refuses it."""
    assert codes(read("c.yaml", f"{LIGHTNING}      overrides: {{a: '1e-5'}}\n")) == ["E423@6:22"]
    assert codes(read("c.yaml", f"{LIGHTNING}      overrides: {{a: 1.0e-5}}\n")) == []
    assert codes(read("c.yaml", f"{LIGHTNING}      overrides: {{a: high}}\n")) == ["E202@6:22"]


@pytest.mark.parametrize(
    ("target", "is_meant"),
    [
        ("losslang.complie", True),
        ("losslang.Loss", True),
        ("loslang.compile", True),
        ("loss_lang.compile", False),  # may be a package
        ("losslang_extra.compile", False),
        ("torch.compile", False),
        ("my.losslang.compile", False),
        ("torch.nn.BCELoss", False),
    ],
)
def test_a_misspelled_target_is_named(target: str, is_meant: bool) -> None:
    for text in (HYDRA, LIGHTNING):
        reading = read("c.yaml", text.replace("losslang.compile", target))
        assert [d.code for d in reading.diagnostics] == (["E420"] if is_meant else ["E410"])
        assert len(reading.sources) == is_meant
        if is_meant:
            assert target in reading.diagnostics[0].message
            assert reading.diagnostics[0].fix == "write `losslang.compile`"


def test_the_arguments_of_a_target() -> None:
    assert tuple(inspect.signature(losslang.compile).parameters) == ARGUMENTS
    assert {name.removeprefix("losslang.") for name in TARGETS} <= {*losslang.__all__}
    assert found(f"{HYDRA}  fuze: x\n") == "loss.text=a = 1; a*ce + dice E422@4:3"
    (wrong,) = read("c.yaml", f"{HYDRA}  overides: {{}}\n  _convert_: all\n").diagnostics
    assert wrong.fix == "did you mean `overrides`?"


def test_a_target_without_a_text() -> None:
    """In one file of many, another may give it. A config that is piped in is whole."""
    text = "loss: {_target_: losslang.compile, overrides: {a: 1}}\n"
    assert found(text) == GIVEN_ELSEWHERE
    assert found(text, suffix=".yaml") == "E421@1:1"


# ---------------------------------------------------------------------------- several losses, and other libraries


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("loss:\n  generator: bce(sigmoid)\n  discriminator: dise\n", "loss.generator=bce(sigmoid) loss.discriminator=dise E101@3:18"),
        ("objective: {a: ce}\n", "objective.a=ce"),
        ("loss: {a: ce, b: '???'}\n", f"loss.a=ce {GIVEN_ELSEWHERE}"),
        ("w: 2\nloss: {a: ce, b: '${w}*l1'}\n", "loss.a=ce loss.b=2*l1"),
        ("loss: {name: dice, weight: 1}\n", "E407@1:8"),
        ("loss: {name: dice}\n", "E407@1:8"),
        ("loss: {type: DiceLoss, mode: multiclass}\n", "E407@1:8"),
        ("loss: {cls: ce@cls, reg: l1@reg}\n", "loss.cls=ce@cls loss.reg=l1@reg"),
        ("loss: {cls: ce, reg: l1}\n", "loss.cls=ce loss.reg=l1"),
        ("loss: {reg: l1, cls: dise@cls}\n", "loss.reg=l1 loss.cls=dise@cls E101@1:22"),
        ("w: 2\nloss: {cls: '${w}*ce@cls', reg: l1}\n", "loss.cls=2*ce@cls loss.reg=l1"),
        ("loss: {type: ce@type, id: 0.5*l1@id}\n", "loss.type=ce@type loss.id=0.5*l1@id"),
        ("loss: {reg: l1, cls: DiceLoss}\n", "E407@1:17"),
        ("loss: {a: ce, name: dice-ce}\n", "E407@1:15"),
        ("loss: {a: ce, type: torch.nn.L1Loss}\n", "E407@1:15"),
        ("loss: {a: ce, reduction: mean}\n", "E407@1:15"),
        ("loss: {a: ce, weight: '1/2'}\n", "E407@1:15"),
        ("loss: {a: ce, b: 0.5}\n", "E407@1:1"),
        ("loss: {a: ce, b: [l1]}\n", "E407@1:1"),
        ("loss: {a: {b: ce}}\n", "E407@1:1"),
        ("loss: [ce, l1]\n", "E407@1:1"),
        ("loss: {}\n", "E407@1:1"),
        ("loss: {_target_: torch.nn.BCELoss}\n", "E410@1:1"),
        ("loss: {class_path: torch.nn.BCELoss}\n", "E410@1:1"),
    ],
)  # fmt: skip
def test_several_losses_under_one_key(text: str, wanted: str) -> None:
    assert found(text) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("objective: binary:logistic\n", FOREIGN),
        ("objective: regression_l2\n", FOREIGN),
        ("objective: softmax\n", FOREIGN),  # ours is an activation
        ("criterion: gini\n", FOREIGN),
        ("loss: log_loss\n", FOREIGN),
        ("forest: {criterion: entropy}\nmodel: {loss: ce}\n", f"model.loss=ce {FOREIGN}"),
        ("objective: huber\n", "objective=huber"),  # ours too
        ("objective: binary:logistics\n", "objective=binary:logistics E011@1:18"),
        ("criterion: ginni\n", "criterion=ginni E101@1:12"),
        ("loss: gini\n", "loss=gini E101@1:7"),
        ("loss: poisson\n", "loss=poisson E101@1:7"),  # known here as poisson_nll
        ("objective: 2*gini\n", "objective=2*gini E101@1:14"),
        ("loss: {_target_: losslang.compile, text: log_loss}\n", "loss.text=log_loss E101@1:42"),
    ],
)
def test_words_of_other_libraries(text: str, wanted: str) -> None:
    assert found(text) == wanted


def test_the_words_of_scikit_learn_are_those_that_it_takes() -> None:
    pytest.importorskip("sklearn")
    from sklearn.utils import all_estimators
    from sklearn.utils._param_validation import Hidden, Options

    for key in ("loss", "criterion"):
        taken: set[str] = set()
        for _, estimator in all_estimators():
            for constraint in getattr(estimator, "_parameter_constraints", {}).get(key, ()):
                constraint = constraint.constraint if isinstance(constraint, Hidden) else constraint
                if isinstance(constraint, Options):
                    taken |= {str(option) for option in constraint.options}
        assert taken - {"deprecated"} <= WORDS[key]


# ---------------------------------------------------------------------------- folders

REPOSITORY = {
    "conf/config.yaml": "defaults:\n  - loss: dice_ce\n  - _self_\nlr: 0.1\nloss: ???\n",
    "conf/loss/dice_ce.yaml": "_target_: losslang.compile\ntext: ce + dice\n",
    "conf/loss/torch.yaml": "criterion: {_target_: torch.nn.BCELoss}\n",
    "conf/loss/other.yaml": "loss: {name: dice, weight: 1}\n",
    "conf/forest.yaml": "criterion: gini\n",
    "conf/optimizer.yaml": "lr: 0.1\n",
    "conf/template.yaml": "{{ jinja }}: [\n",
    "conf/notes.txt": "loss: dise\n",
    "conf/.hidden/x.yaml": "loss: dise\n",
    "conf/.hidden.yaml": "loss: dise\n",
    ".venv/x.yaml": "loss: dise\n",
    "env/pyvenv.cfg": "",
    "env/x.yaml": "loss: dise\n",
    "outputs/2026/.hydra/config.yaml": "loss: dise\n",
    "outputs/2026/x.yaml": "loss: dise\n",
    "multirun/x.yaml": "loss: dise\n",
    "node_modules/x.json": '{"loss": "dise"}',
    "lightning_logs/version_0/config.yaml": "loss: dise\n",
}


@pytest.fixture
def repository(folder: Path) -> Path:
    for name, text in REPOSITORY.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / "conf" / "large.json").write_text('{"loss": 1}' + " " * 500_000)
    (folder / "conf" / "latin.yaml").write_bytes("loss: ce # größer\n".encode("latin-1"))
    return folder


@pytest.mark.parametrize("argument", ["conf", "."])
def test_a_folder_is_walked(repository: Path, capsys: Capture, argument: str) -> None:
    status, told = run(capsys, "check", argument)
    where = f"{argument}/{'conf/' if argument == '.' else ''}loss/dice_ce.yaml"
    assert status == 0
    assert told == (
        f"{where}:2:7  text  ce(softmax) + dice(softmax)  # dice: softmax from ce\n\n"
        "1 expression in 1 of 9 files, 4 values left alone (1 given elsewhere, 3 of another library), "
        "no mistakes in 0 ms\n"
    )


def test_a_folder_that_is_named_is_walked_whatever_its_name(repository: Path, capsys: Capture) -> None:
    assert run(capsys, "check", "outputs")[0] == 1


def test_a_folder_without_a_loss(repository: Path, capsys: Capture) -> None:
    (repository / "conf/loss/dice_ce.yaml").unlink()
    status, told = run(capsys, "check", "conf")
    assert (status, told.splitlines()[-1][:24]) == (0, "no expression in 8 files")
    status, told = run(capsys, "check", "conf", "--require")
    assert status == 2
    assert "error[E406]: no expression found: no key is called `loss`" in told
    assert "--> conf\n" in told
    assert run(capsys, "check", "conf", "--key", "los")[0] == 2
    assert run(capsys, "check", "conf", "--key", "lr")[0] == 1


def test_a_mistake_in_a_folder(repository: Path, capsys: Capture) -> None:
    (repository / "conf/loss/wrong.yaml").write_text("loss: dise\n")
    status, told = run(capsys, "check", "conf")
    assert status == 1
    assert "conf/loss/wrong.yaml:1:7" in told.replace("\\", "/")
    assert "2 expressions in 2 of 10 files" in told


def test_files_without_a_loss_are_counted(folder: Path, capsys: Capture) -> None:
    (folder / "a.yaml").write_text("loss: ce\n")
    (folder / "b.yaml").write_text("lr: 1\n")
    (folder / "c.yaml").write_text("train_loss: ce\n")
    assert run(capsys, "check", "a.yaml")[1].endswith("\n1 expression, no mistakes in 0 ms\n")
    assert run(capsys, "check", "a.yaml", "a.yaml")[1].endswith(
        "\n2 expressions in 2 files, no mistakes in 0 ms\n"
    )
    assert run(capsys, "check", "a.yaml", "b.yaml")[1].endswith(
        "\n1 expression in 1 of 2 files, no mistakes in 0 ms\n"
    )
    assert run(capsys, "check", "b.yaml") == (0, "no expression in 1 file, in 0 ms\n")
    hint = "a key that may be meant: `--key train_loss`\n"
    assert run(capsys, "check", "b.yaml", "c.yaml") == (0, "no expression in 2 files, in 0 ms\n" + hint)
    assert run(capsys, "check", "a.yaml", "c.yaml", "--key", "train_loss")[0] == 0
    assert run(capsys, "check", "b.yaml", "--require")[0] == 2
    assert run(capsys, "check", "a.yaml", "b.yaml", "--require")[0] == 0
    assert run(capsys, "check", "a.yaml", "b.yaml:loss")[0] == 2


def test_fmt_takes_folders(repository: Path, capsys: Capture) -> None:
    (repository / "conf/loss/dice_ce.yaml").write_text("_target_: losslang.compile\ntext: ce+dice\n")
    (repository / "conf/filled.yaml").write_text("w: 2\nloss: ${w}*ce+dice\n")
    status, told = run(capsys, "fmt", "conf")
    assert (status, told.replace("\\", "/")) == (
        0,
        "rewrote conf/loss/dice_ce.yaml\n10 files: 1 rewritten, 9 unchanged\n",
    )
    assert (repository / "conf/filled.yaml").read_text() == "w: 2\nloss: ${w}*ce+dice\n"


# ---------------------------------------------------------------------------- standard input, strictness, own losses


def piped(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", type("Pipe", (), {"buffer": __import__("io").BytesIO(text.encode())}))


@pytest.mark.parametrize(
    ("form", "text", "status", "told"),
    [
        ("yaml", "w: 2\nloss: ${w}*ce\n", 0, "<stdin>:2:7  loss  2*ce(softmax)"),
        ("yaml", "loss: {_target_: losslang.compile, text: dise}\n", 1, "<stdin>:1:42"),
        ("toml", "loss = 'ce'\n", 0, "1 expression, no mistakes"),
        ("json", '{"loss": "dise"}', 1, "<stdin>:1:11"),
        ("loss", "ce\n", 0, "1 expression, no mistakes"),
        ("yaml", "lr: 1\n", 0, "no expression in 1 file"),
        ("yaml", " \n", 2, "`<stdin>` cannot be read: it is empty"),
        ("", "loss: ce\n", 2, "= fix: name its format: losslang check - --format yaml"),
        ("", "# @package loss\n\nlr: 1\n", 2, "--format yaml"),
        ("", '{"loss": "ce"}', 2, "--format json"),
        ("", "[train]\nloss = 'ce'\n", 2, "--format toml"),
        ("", "ce@seg + dice@seg\n", 0, "1 expression, no mistakes"),
        ("", "# both\nn = mse@pred[0:1]; n + l1\n", 0, "1 expression, no mistakes"),
    ],
)
def test_a_composed_config_is_piped(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, form: str, text: str, status: int, told: str
) -> None:
    piped(monkeypatch, text)
    said = run(capsys, "check", "-", *(["--format", form] if form else []))
    assert said[0] == status
    assert told in said[1]


def test_a_format_is_one_of_standard_input(folder: Path, capsys: Capture) -> None:
    with pytest.raises(SystemExit):
        main(["check", "a.yaml", "--format", "yaml"])
    assert "--format is the format of standard input" in capsys.readouterr().err


def test_strict(folder: Path, capsys: Capture) -> None:
    (folder / "a.yaml").write_text("loss: dice\n")
    (folder / "b.yaml").write_text("loss: ${w}*ce\n")
    (folder / "c.yaml").write_text("loss: ce\n")
    for name in ("a.yaml", "b.yaml"):
        assert run(capsys, "check", name)[0] == 0
        assert run(capsys, "check", name, "--strict")[0] == 1
    assert run(capsys, "check", "c.yaml", "--strict")[0] == 0


OWN = [["check", "c.yaml"], ["explain", "own_distance"], ["show", "own_distance"], ["plan", "own_distance"]]


@pytest.mark.parametrize("arguments", OWN, ids=lambda arguments: arguments[0])
def test_own_losses(folder: Path, arguments: list[str]) -> None:
    """In a process of their own: what a module registers stays registered."""
    import os
    import subprocess

    (folder / "my_losses.py").write_text(MODULE)
    (folder / "c.yaml").write_text("import: my_losses\nimports: [my_losses]\nloss: own_distance\n")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def status(*more: str, cwd: Path = folder) -> int:
        command = [sys.executable, "-m", "losslang", *arguments, *more]
        return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, check=False).returncode

    assert status() == 1
    assert status("--import", "my_losses") == 0
    if arguments[0] == "check":
        assert status("--import", "my_loses") == 2
        (folder / "pyproject.toml").write_text("[tool.losslang]\nimports = ['my_losses']\n")
        assert status() == 0
        below = folder / "below"
        below.mkdir()
        (below / "c.yaml").write_text("loss: own_distance\n")
        assert status(cwd=below) == 0
        (below / ".git").mkdir()  # another repository: the pyproject.toml above is not its own
        assert status(cwd=below) == 1


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("[tool.losslang]\nimports = ['my_losses']\n", []),
        ("[tool.losslang]\n", []),
        ("[tool.other]\n", []),
        ("[tool.losslang\n", ["E425"]),
        ("[tool]\nlosslang = 3\n# tool.losslang\n", ["E425"]),
        ("[tool.losslang]\nimports = ['my_loses', 'nor_this']\n", ["E424", "E424"]),
    ],
)
def test_pyproject(folder: Path, text: str, wanted: list[str]) -> None:
    assert project_codes(text) == wanted


def test_the_hooks_of_pre_commit_are_commands(repository: Path, capsys: Capture) -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert [hook["id"] for hook in hooks] == ["losslang-check", "losslang-fmt"]
    for hook in hooks:
        program, *command = hook["entry"].split()
        assert program == "losslang"
        assert hook["language"] == "python"
        assert not hook["pass_filenames"]
        assert run(capsys, *command, *hook["args"])[0] == 0
