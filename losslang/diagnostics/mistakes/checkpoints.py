"""Mistakes of checkpoints and pickles that do not fit a loss, found when they are loaded."""

from __future__ import annotations

from collections.abc import Sequence

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.mistakes import mistake
from losslang.diagnostics.source import Span


@mistake(
    "W308",
    form="python",
    example="saved = losslang.compile('ghm_c(sigmoid, bins=10)').state_dict()\n"
    "losslang.compile('ghm_c(sigmoid, bins=30)').load_state_dict(saved)",
    repair="saved = losslang.compile('ghm_c(sigmoid, bins=10)').state_dict()\n"
    "losslang.compile('ghm_c(sigmoid, bins=10)').load_state_dict(saved)",
)
def another_loss(span: Span, kept: str, changes: Sequence[str], lost: Sequence[str] = ()) -> Diagnostic:
    """A checkpoint or a pickle was made with another loss.

    A loss that has tensors of its own, memories or trained constants, keeps its program beside them. Of
    another one's tensors those are loaded that have a place here; the others are left out.
    """
    listed = "\n".join(changes)
    listed += f"\n{_memory_of(lost)} as it is here: empty, in a new loss" if lost else ""
    return Diagnostic(
        "",
        f"the {kept} was made with another loss",
        span,
        caret="this one",
        why=f"it trains on something else from here on:\n{listed}",
        fix="nothing, if the change is meant; else compile the loss as it was",
    )


@mistake(
    "W321",
    form="python",
    example="saved = losslang.compile('mse').state_dict()\n"
    "losslang.compile('ghm_c(sigmoid, momentum=0.5)').load_state_dict(saved)",
    repair="saved = losslang.compile('ghm_c(sigmoid, momentum=0.5)').state_dict()\n"
    "losslang.compile('ghm_c(sigmoid, momentum=0.5)').load_state_dict(saved)",
)
def no_memory(span: Span, kept: str, lost: Sequence[str]) -> Diagnostic:
    """A checkpoint holds no memory for a loss that remembers earlier calls.

    It was saved without the loss, or with one that remembered nothing. The rest of it is loaded.
    """
    listed = " and ".join(f"`{name}`" for name in lost)
    return Diagnostic(
        "",
        f"the {kept} holds no memory of {listed}",
        span,
        caret="this one remembers",
        why=f"{_memory_of(lost)} as it is here: empty, in a new loss",
        fix="nothing, if it may start anew; else save the loss with the model: `self.loss = losslang.compile(...)`",
    )


def _memory_of(terms: Sequence[str]) -> str:
    names = " and ".join(f"`{name}`" for name in terms)
    return f"the memory of {names} stays"


@mistake(
    "E529",
    form="python",
    example="loss = losslang.compile('mse')\n"
    "rebuild, (record,), _ = loss.__reduce__()\n"
    "rebuild({**record, 'extensions': {('loss', 'ours'): 'our_package.losses'}})",
    repair="import pickle\npickle.loads(pickle.dumps(losslang.compile('mse')))",
)
def extension_missing(span: Span, kind: str, name: str, module: str) -> Diagnostic:
    """A pickled loss uses a loss, an activation, a reduction or a function that is not registered here.

    A pickle holds the text of a program and not the functions behind its names: the module that defines them
    has to be imported before the pickle is loaded. One that an installed package names as an entry point of
    `losslang` is imported by itself.
    """
    return Diagnostic(
        "",
        f"the {kind} `{name}` of {module} is not registered here",
        span,
        fix=f"import `{module}` before the pickle is loaded",
    )
