"""The command line: `losslang check conf/train.yaml`. torch is never imported here.

A command is a function from arguments to an Outcome, in a module of its own, loaded when it is
asked for: whoever checks a file does not wait for what formats one.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, TextIO

from losslang.tools.cli import clock as clock  # runs from here on
from losslang.tools.cli.outcome import Outcome
from losslang.tools.cli.values import setting, shape, times

# Control characters and direction marks, except our own colours.
STEERING = re.compile(r"[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]|\x1b(?!\[[\d;]*m)")

# An expression that begins with a minus: no option of losslang but `-e` and `-h`.
LEADING_MINUS = re.compile(r"-(?![eh]?$|[eh]=)[^-]")

KEY = "where the expressions are, if not under loss: a key, a path, or a pattern such as losses[*]"
INPUTS = "a .yaml, .toml, .json or .loss file, FILE:KEY for one key of it, a folder, or - for standard input"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status: 0 well, 1 mistakes, 2 nothing could be done."""
    parser = _parser()
    arguments = parser.parse_args(_with_leading_minus(sys.argv[1:] if argv is None else argv))
    if arguments.command is None:
        parser.print_help(sys.stderr)
        return 2
    run: Callable[[argparse.Namespace], Outcome] = import_module(f"losslang.tools.cli.{arguments.module}").run
    try:
        refused = _imported(arguments)
        outcome = refused or run(arguments)
    except KeyboardInterrupt:
        return 130
    refused = [_written(sys.stdout, outcome.out), _written(sys.stderr, outcome.err)]
    return 2 if any(refused) else outcome.status


def _with_leading_minus(argv: Sequence[str]) -> list[str]:
    """The arguments so that argparse takes `-l1`, an expression, for no option: `-e -l1`, `explain -l1`."""
    kept: list[str] = []
    behind: list[str] = []
    for argument in argv:
        is_expression = LEADING_MINUS.match(argument) is not None
        if is_expression and kept[-1:] == ["-e"]:
            kept[-1] += argument
        elif is_expression and argv[0] in ("explain", "plan", "lock", "diff") and "--" not in argv:
            behind.append(argument)
        else:
            kept.append(argument)
    return [*kept, *(["--", *behind] if behind else [])]


def _imported(arguments: argparse.Namespace) -> Outcome | None:
    """Imports the modules that register losses of the user. The outcome of a command that cannot, else None."""
    named: list[str] | None = getattr(arguments, "imports", None)
    if named is None:
        return None
    from losslang.tools.cli.imports import import_all

    return import_all(named)


def _written(stream: TextIO | None, text: str) -> bool:
    """Prints `text`, as far as the terminal can show it. True if it got lost, except to a closed pipe."""
    if stream is None or not text:
        return False
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="replace")
    text = text.rstrip("\n") + "\n"
    try:
        stream.write(STEERING.sub("�", text) if stream.isatty() else text)
        stream.flush()
    except OSError as error:
        # Python would complain once more when it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        if isinstance(error, BrokenPipeError):  # `| head` has seen enough
            return False
        print(f"losslang: the output got lost: {error.strerror}", file=sys.stderr)
        return True
    return False


# ---------------------------------------------------------------------------- arguments


def _parser() -> argparse.ArgumentParser:
    """The parser of all arguments."""
    parser = argparse.ArgumentParser(
        "losslang",
        description="The language for the loss line of a training config.",
        epilog="losslang COMMAND --help says more, with an example.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_Version, help="print the version and exit")
    # Told its name, argparse need not measure the terminal to find it.
    commands = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND", prog="losslang")
    for add in (_check, _explain, _list, _show, _fmt, _lock, _diff, _plan):
        add(commands)
    return parser


class _Version(argparse.Action):
    """Looks the version up only when it is asked for."""

    def __init__(self, option_strings: Sequence[str], dest: str, **kwargs: Any):
        super().__init__(option_strings, dest, nargs=0, **kwargs)

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from importlib.metadata import PackageNotFoundError, version

        try:
            installed = version("losslang")
        except PackageNotFoundError:  # a checkout that nobody has installed
            installed = "(not installed)"
        print(f"losslang {installed}")
        parser.exit()


Commands = Any  # argparse has no public name for what add_subparsers returns


def _add(commands: Commands, name: str, says: str, example: str, module: str = "") -> argparse.ArgumentParser:
    """Adds a command with its help and its example; `module` is the one that runs it."""
    command: argparse.ArgumentParser = commands.add_parser(
        name,
        help=says,
        description=f"{says[0].upper()}{says[1:]}.",
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    command.set_defaults(module=module or name, usage_error=command.error)
    return command


def _check(commands: Commands) -> None:
    """Adds the arguments of `check`."""
    example = (
        "losslang check conf/ --output github\n"
        "  python train.py --cfg job --resolve | losslang check - --format yaml --require"
    )
    command = _add(commands, "check", "find every mistake of every expression, and say where it is", example)
    command.add_argument("files", nargs="*", metavar="FILE[:KEY]", help=INPUTS)
    command.add_argument(
        "-e", dest="expressions", metavar="EXPR", action="append", default=[], help="an expression"
    )
    command.add_argument("--key", metavar="GLOB", help=KEY)
    command.add_argument(
        "--format",
        choices=("yaml", "toml", "json", "loss"),
        help="the format of standard input, if not one expression",
    )
    command.add_argument("--require", action="store_true", help="exit 2 if no file holds an expression")
    command.add_argument("--strict", action="store_true", help="exit 1 for warnings too")
    _imports(command)
    _settings(command)
    outputs = ("full", "concise", "json", "github", "sarif")
    command.add_argument(
        "--output", choices=outputs, default="full", help="full (default) is for people, the others for tools"
    )


def _explain(commands: Commands) -> None:
    """Adds the arguments of `explain`."""
    example = "losslang explain '0.5*bce(sigmoid) + dice'\n  losslang explain E301"
    says = "say what an expression means, default by default, or what a mistake is about"
    command = _add(commands, "explain", says, example)
    command.add_argument(
        "what", metavar="EXPR|CODE|FILE", help="an expression, the code of a mistake, or a file"
    )
    command.add_argument("--key", metavar="GLOB", help=KEY)
    command.add_argument(
        "--at",
        metavar="CLOCK=N",
        type=times,
        action="append",
        default=[],
        help="print the weights of schedules at this time: step=3000, epoch=4 (default: 0)",
    )
    _imports(command)


def _list(commands: Commands) -> None:
    """Adds the arguments of `list`."""
    example = "losslang list --kind loss"
    command = _add(commands, "list", "list every name: what it computes, and its aliases", example, "listing")
    kinds = ("loss", "activation", "reduction", "function", "schedule", "combinator", "repeat", "levels")
    command.add_argument("--kind", choices=kinds, help="only these")
    _imports(command)


def _show(commands: Commands) -> None:
    """Adds the arguments of `show`."""
    command = _add(commands, "show", "say everything about one name", "losslang show dice")
    command.add_argument(
        "name", metavar="NAME", help="a loss, an activation, a reduction, a function, a schedule or an option"
    )
    _imports(command)


def _fmt(commands: Commands) -> None:
    """Adds the arguments of `fmt`."""
    example = "losslang fmt conf/train.yaml\n  echo 'ce+dice' | losslang fmt -"
    command = _add(commands, "fmt", "write expressions in their canonical form", example)
    command.add_argument("files", nargs="+", metavar="FILE[:KEY]", help=INPUTS)
    command.add_argument("--key", metavar="GLOB", help=KEY)
    command.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file would change")
    command.add_argument("--diff", action="store_true", help="write nothing; print what would change")


def _lock(commands: Commands) -> None:
    """Adds the arguments of `lock`."""
    example = "losslang lock conf/train.yaml:loss > loss.lock.loss"
    says = "write an expression with every default, and the version of each loss"
    command = _add(commands, "lock", says, example)
    command.add_argument("what", metavar="EXPR|FILE", help="an expression, or a file")
    command.add_argument("--key", metavar="GLOB", help=KEY)
    _settings(command)
    _imports(command)


def _diff(commands: Commands) -> None:
    """Adds the arguments of `diff`."""
    example = (
        "losslang diff 'ce + dice' 'ce + 0.5*dice(smooth=1)'\n"
        "  losslang diff old.yaml:loss new.yaml:loss     exit 0: the same mathematics, 1: another"
    )
    command = _add(commands, "diff", "say in words how two expressions differ, term by term", example)
    command.add_argument("old", metavar="EXPR|FILE[:KEY]", help="an expression, or a file with one")
    command.add_argument("new", metavar="EXPR|FILE[:KEY]", help="the other one")
    command.add_argument("--key", metavar="GLOB", help=KEY)
    _imports(command)


def _plan(commands: Commands) -> None:
    """Adds the arguments of `plan`."""
    example = "losslang plan 'ce + dice'\n  losslang plan 'ce + dice' --stage run --shape 4,5,1000,1000"
    command = _add(
        commands, "plan", "print what an expression compiles to, or what a call of it runs", example
    )
    command.add_argument("what", metavar="EXPR|FILE", help="an expression, or a file")
    command.add_argument("--key", metavar="GLOB", help=KEY)
    _settings(command)
    stages = ("tree", "meaning", "plan", "optimized", "run")
    command.add_argument(
        "--stage",
        choices=stages,
        default="optimized",
        type=_stage,
        help="where to stop; optimized (default) is the plan after every pass, run what a call on a CPU runs, and why",
    )
    command.add_argument(
        "--shape",
        metavar="B,C,...",
        type=shape,
        default=(4, 5, 16, 16),
        help="with --stage run: the shape of the predictions; else it is 4,5,16,16",
    )
    command.add_argument(
        "--call",
        choices=("first", "second", "later", "traced"),
        default="later",
        help="with --stage run: which call of a module; later (default) is what most calls run",
    )
    command.add_argument(
        "--ignored", action="store_true", help="with --stage run: a tenth of the labels are ignored"
    )
    _imports(command)


def _stage(text: str) -> str:
    """A stage by its name; `improved` is what `optimized` was called before."""
    return "optimized" if text == "improved" else text


def _imports(command: argparse.ArgumentParser) -> None:
    """Adds `--import MODULE`."""
    command.add_argument(
        "--import",
        dest="imports",
        metavar="MODULE",
        action="append",
        default=[],
        help="a module of yours that registers losses; it is executed. pyproject.toml names such modules too: "
        "[tool.losslang] imports = [...]",
    )


def _settings(command: argparse.ArgumentParser) -> None:
    """Adds `--set NAME=NUMBER`."""
    command.add_argument(
        "--set",
        dest="settings",
        metavar="NAME=NUMBER",
        action="append",
        default=[],
        type=setting,
        help="set a named number, a weight or an option: alpha=0.3, dice.weight=2, dice.smooth=1",
    )
