"""Writes what the documents take from the code: the tables of losses, the pages of the mistakes.

python docs/tables.py            rewrites README.md and docs/
python docs/tables.py --check    exits 1 if they are not what the code says
"""

from __future__ import annotations

import sys
from itertools import groupby
from pathlib import Path

from losslang.diagnostics.mistakes import Page, pages
from losslang.meaning.meaning import show
from losslang.meaning.options import is_dynamic
from losslang.primitives.primitive import Loss
from losslang.registry import current_registry
from losslang.tools.cli.listing import by_family
from losslang.vocabulary import IN_WORDS

ROOT = Path(__file__).parent.parent
FAMILIES = {
    "E0": "The text",
    "E1": "Names",
    "E2": "Options",
    "E3": "Meaning",
    "E4": "Files and configs",
    "E5": "Tensors at run time",
    "W": "Warnings",
}


def losses() -> str:
    """The page of all losses, a table for each family."""
    parts = [
        "# Losses",
        "Formulas, what each reads of the prediction, what its values are counted by before the reduction, and its own "
        "options with their defaults. `losslang show NAME` prints what they mean, aliases, other libraries and the paper. "
        "Every loss also takes the options of the language: `reduction`, `mask`, `weight`, ... (`losslang show mask`).",
    ]
    for module, members in groupby(
        by_family(current_registry().all(Loss)), key=lambda loss: loss.function.__module__
    ):
        title = (sys.modules[module].__doc__ or module).partition("\n")[0].rstrip(".")
        rows = ["| loss | formula | reads | values | options |", "|---|---|---|---|---|"]
        for loss in members:
            formula = loss.summary.replace("|", "\\|")
            rows.append(f"| `{loss.name}` | {formula} | {reads(loss)} | {values(loss)} | {options(loss)} |")
        parts += [f"## {title}", "\n".join(rows)]
    return "\n\n".join(parts) + "\n"


def reads(loss: Loss) -> str:
    """What a loss reads, and through which activation if nothing is written."""
    wants = IN_WORDS.get(loss.wants, loss.wants)
    if loss.inherits:
        return f"{wants}, as its neighbours do"
    if loss.activation in (None, "identity"):
        return wants
    return f"{IN_WORDS.get(loss.given, 'logits')}, through `{loss.activation}`"


def values(loss: Loss) -> str:
    """What the natural values of a loss are counted by."""
    named = {
        "b": "sample",
        "c": "class",
        "*b": "row",
        "*space": "place",
        "*shape": "element",
        "*event": "element or place",
    }
    axes = [named[axis] for axis in loss.result_axes]
    return f"per {' and '.join(axes)}" if axes else "one number"


def options(loss: Loss) -> str:
    """The options of a loss with their defaults; those that have none must be written."""
    return ", ".join(
        f"`{name}={show(loss.defaults.get(name, '...'))}`" + (" or a path" if is_dynamic(declared) else "")
        for name, declared in loss.option_types.items()
    )


def mistakes() -> str:
    """One section a mistake: what the compiler says, why, an example and its repair."""
    parts = ["# Mistakes", "Every message has a code. `losslang explain CODE` prints these pages, too."]
    family = ""
    for page in pages():
        head = FAMILIES[page.code[: 1 if page.code[0] == "W" else 2]]
        if head != family:
            family = head
            parts.append(f"## {head}")
        parts += [
            f'### <a id="{page.code.lower()}"></a>{page.code}: {page.title}',
            *filter(None, [page.text]),
        ]
        parts += ["Instead of", block(page, page.example), "write", block(page, page.repair)]
    return "\n\n".join(parts) + "\n"


def block(page: Page, text: str) -> str:
    language = "text" if page.form == "program" else page.form
    return f"```{language}\n{text.rstrip()}\n```"


def between(text: str, name: str, new: str) -> str:
    """`text` with what stands between the two markers of `name` replaced."""
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, _, rest = text.partition(start)
    _, _, after = rest.partition(end)
    return f"{before}{start}{new}{end}{after}"


def documents() -> dict[Path, str]:
    """Every document with what the code says in it."""
    readme = ROOT / "README.md"
    number = str(len(current_registry().all(Loss)))
    return {
        readme: between(readme.read_text(encoding="utf-8"), "count", number),
        ROOT / "docs" / "losses.md": losses(),
        ROOT / "docs" / "mistakes.md": mistakes(),
    }


def main(arguments: list[str]) -> int:
    stale = [
        path for path, text in documents().items() if not path.exists() or path.read_text("utf-8") != text
    ]
    if "--check" in arguments:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is not what the code says: run `python docs/tables.py`")
        return 1 if stale else 0
    for path in stale:
        path.write_text(documents()[path], encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
