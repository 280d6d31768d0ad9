"""Functions of torch and of other languages in our words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

OURS: Mapping[str, str] = {
    "absolute": "abs({0})",
    "add": "{0} + {1}",
    "amax": "max({0}, {1})",
    "amin": "min({0}, {1})",
    "average": "mean({0})",
    "clamp": "clip({0}, {1}, {2})",
    "clamp_max": "min({0}, {1})",
    "clamp_min": "max({0}, {1})",
    "div": "{0}/{1}",
    "divide": "{0}/{1}",
    "expm1": "exp({0}) - 1",
    "fabs": "abs({0})",
    "log1p": "log(1 + {0})",
    "logsigmoid": "-softplus(-{0})",
    "maximum": "max({0}, {1})",
    "minimum": "min({0}, {1})",
    "mul": "{0}*{1}",
    "multiply": "{0}*{1}",
    "neg": "-{0}",
    "negative": "-{0}",
    "no_grad": "detach({0})",
    "pow": "{0}**{1}",
    "power": "{0}**{1}",
    "reciprocal": "1/{0}",
    "relu": "max({0}, 0)",
    "rsqrt": "1/sqrt({0})",
    "square": "{0}**2",
    "stop_gradient": "detach({0})",
    "stopgrad": "detach({0})",
    "sub": "{0} - {1}",
    "subtract": "{0} - {1}",
}
"""By their name: what is written here, with the arguments in their places."""
ARGUMENTS = "xyz"
"""What stands for arguments that are not written."""


def in_arithmetic(name: str, arguments: Sequence[str], options: Mapping[str, str]) -> str:
    """A call of such a function in our words; '' for a name that is none, or arguments that do not fit."""
    template = OURS.get(name)
    if template is None:
        return ""
    if name == "clamp" and (len(arguments) == 1 or not arguments) and set(options) in ({"min"}, {"max"}):
        bound = "max" if "min" in options else "min"
        template, options = f"{bound}({{0}}, {{1}})", {"min": next(iter(options.values()))}
    written = [*arguments, *(options[key] for key in ("min", "max", "exponent", "other") if key in options)]
    wanted = 1 + max(i for i in range(3) if f"{{{i}}}" in template)
    if not written:
        written = list(ARGUMENTS[:wanted])
    if len(written) != wanted:
        return ""
    is_call = template.endswith(")") and template.startswith(tuple("abcdefghijklmnopqrstuvwxyz"))
    return template.format(*(one if is_call else bracketed(one) for one in written))


def bracketed(text: str) -> str:
    """A text in brackets, unless it is one name, path or call."""
    return text if text.replace("_", "").replace(".", "").isalnum() else f"({text})"
