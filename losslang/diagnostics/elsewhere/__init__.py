"""Names of other libraries and of the field that are not ours, with what to write for them."""

from __future__ import annotations

from losslang.diagnostics.elsewhere.absent import NOT_HERE, Absent
from losslang.diagnostics.elsewhere.key import key
from losslang.diagnostics.elsewhere.losses import NAMES, OF_ONE_LIBRARY, OURS
from losslang.diagnostics.elsewhere.nearest import nearest
from losslang.diagnostics.elsewhere.options import SHIFTED

__all__ = [
    "NAMES",
    "NOT_HERE",
    "OF_ONE_LIBRARY",
    "OURS",
    "Absent",
    "absent",
    "is_known",
    "key",
    "nearest",
    "spelled",
    "what_instead",
]

BESIDE = {
    "l2": ", and of the parameters of a model `l2_reg`",
    "kld": ", and of two distributions `kl(softmax)`",
}
"""What a name may mean too."""
SHIFTING = ("forcausallm", "causallm")
KNOWN = {**NAMES, **OURS}
_BY_KEY = {key(name): spelling for name, spelling in KNOWN.items()}
_ABSENT_BY_KEY = {key(name): absent for name, absent in NOT_HERE.items()}


def spelled(name: str) -> str:
    """Our spelling of a loss of another library; '' if none is known."""
    return KNOWN.get(name) or ("" if name in NOT_HERE else _BY_KEY.get(key(name), ""))


def absent(name: str) -> Absent | None:
    """What a well-known loss is that losslang does not have; None for any other name."""
    return NOT_HERE.get(name) or (None if spelled(name) else _ABSENT_BY_KEY.get(key(name)))


def what_instead(name: str, known: tuple[str, ...]) -> str:
    """The repair of a name that nothing has: our spelling, what is near, or that it is not here."""
    same = next((candidate for candidate in known if key(candidate) == key(name)), "")
    if name in KNOWN or (not same and spelled(name)):
        beside = BESIDE.get(name.lower(), "")
        before = f"; {SHIFTED}" if key(name) in SHIFTING else ""
        return f"here it is spelled `{spelled(name)}`{beside}{before}"
    if same:
        return f"did you mean `{same}`?"
    if lacking := absent(name):
        return _in_its_place(name, lacking)
    near = nearest(name, known)
    theirs = "" if near else nearest(name, (*KNOWN, *NOT_HERE))
    if theirs in KNOWN:
        return f"`{theirs}` is spelled `{KNOWN[theirs]}` here"
    return f"did you mean `{near}`?" if near else "not in losslang: `losslang list` shows every name"


def _in_its_place(name: str, lacking: Absent) -> str:
    """The repair of a well-known name that losslang does not have."""
    own = (
        f"a number that the model returns is a term, `pred.{name if name.islower() else key(name) or 'own'}`"
    )
    near = f"`{lacking.instead}` is near to it; " if lacking.instead else ""
    own += "; docs/writing-a-loss.md registers one of your own"
    return f"not in losslang ({lacking.what}): {near}{own}"


def is_known(name: str) -> bool:
    """True for a name of another library or of the field."""
    return bool(spelled(name) or absent(name))
