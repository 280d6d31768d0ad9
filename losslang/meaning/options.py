"""Option checking: the value of an option, read as its declared type; pydantic holds the bounds."""

from __future__ import annotations

import types
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.mistakes import options as mistakes
from losslang.diagnostics.source import Span
from losslang.meaning.meaning import Constant, Expression, is_static
from losslang.meaning.terms import MistakeError, NumberValue, TensorValue, TermsValue, Value
from losslang.primitives.primitive import Function, Loss, Primitive
from losslang.syntax import tree
from losslang.syntax.formatter import number, spell
from losslang.vocabulary import LARGEST, SMALLEST, Dynamic, Why

Evaluate = Callable[[tree.Node], Value | None]
"""Evaluates a node as an expression; None where a mistake was already reported."""


def read_all(
    owner: Primitive, written: Sequence[tree.Option], evaluate: Evaluate
) -> tuple[dict[str, Any], list[MistakeError]]:
    """The options of a primitive, with defaults, and the mistakes of the written ones."""
    values, problems = dict(owner.defaults), list[MistakeError]()
    for option in written:
        if option.name not in owner.option_types:
            known = tuple(owner.option_types)
            problems.append(
                MistakeError(mistakes.unknown_option(option.span, owner.name, option.name, known))
            )
            continue
        try:
            declared = owner.option_types[option.name]
            values[option.name] = read(
                owner.name, option, declared, evaluate, switched=_switched(owner, option.name)
            )
        except MistakeError as problem:
            problems.append(problem)
    return values, problems


def read(
    owner: str,
    option: tree.Option,
    declared: Any,
    evaluate: Evaluate,
    path: str = "",
    switched: Callable[[], str] = str,
) -> Any:
    """The value of one option. Raises MistakeError where it is not of its declared type.

    `path` is the one that this option is usually given, where it may be one; `switched` makes what stands for
    a schedule of an option that takes none.
    """
    raw = plain(option.value, bool(_words(declared)) or _takes_names(declared), evaluate)
    if isinstance(raw, TensorValue):
        if is_dynamic(declared):
            return raw.expression
        raise MistakeError(_no_path(owner, option, raw.expression, declared, switched))
    try:
        return validated(raw, declared)
    except ValidationError:
        problem = _refused(owner, option, raw, declared, path)
        raise MistakeError(problem) from None


def _no_path(
    owner: str, option: tree.Option, given: Expression, declared: Any, switched: Callable[[], str]
) -> Diagnostic:
    """The mistake of a tensor or a schedule in an option that has to be known before."""
    why = next((own for own in get_args(declared)[1:] if isinstance(own, Why)), "")
    kind, instead = ("schedule", switched()) if is_static(given) else ("path", "")
    shown, wanted = spell(option.value), wording(declared)
    return mistakes.takes_no_path(
        option.value.span, owner, option.name, shown, wanted, kind=kind, why=why, switched=instead
    )


def _switched(owner: Primitive, name: str) -> Callable[[], str]:
    """Makes the program that changes an option of a loss at a step; '' where it needs more than the option."""

    def made() -> str:
        default: Any = owner.defaults.get(name)
        if not isinstance(owner, Loss) or owner.metric_only or not _is_number(default):
            return ""
        if any(operand.default is None for operand in owner.operands):
            return ""
        other: float = next(x for x in (default + 1, default - 1, default / 2) if _is_valid(x, owner, name))
        of = "sigmoid, " if owner.inherits else ""
        one, two = (f"{owner.name}({of}{name}={number(x)})" for x in (default, other))
        return f"until(steps=1000)*{one} + after(steps=1000)*{two}"

    return made


def _is_valid(value: float, owner: Primitive, name: str) -> bool:
    try:
        validated(value, owner.option_types[name])
    except ValidationError:
        return False
    return True


def _refused(owner: str, option: tree.Option, raw: Any, declared: Any, path: str) -> Diagnostic:
    """The mistake of a value that is not of its declared type, with what was meant where that is plain."""
    at, wrong, kind = _wrong_part(option.value, raw, declared)
    shown = f"`{wrong}`" if _is_number(wrong) else describe(wrong)
    wanted = wording(kind, beyond=_beyond(wrong))
    fix = "" if kind is declared else f"each entry of `{option.name}` is {wanted}"
    if kind is declared and path:
        wanted += f", or a path, such as `{path}`"
    if raw is None:
        fix = f"leave `{option.name}` out"
    elif isinstance(wrong, str) and (meant := _unquoted(wrong, kind)):
        name = f"{option.name}=" if isinstance(option.value, tree.Text) else ""
        shown, fix = f"the text `'{wrong}'`", f"without quotes: `{name}{meant}`"
    elif declared is str and isinstance(raw, list):
        fix = _one_text_each(owner, option)
    return mistakes.bad_value(at, owner, option.name, shown, wanted, fix)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _unquoted(text: str, declared: Any) -> str:
    """A text without its quotes, where it is a value of the declared type then; '' where it is none."""
    word = text.strip().lower()
    if word == "none":
        value: Any = None
    elif word in ("true", "false"):
        value = word == "true"
    else:
        try:
            value = int(word) if word.lstrip("+-").isdigit() else float(word)
        except ValueError:
            return ""
    try:
        validated(value, declared)
    except ValidationError:
        return ""
    return word


def _one_text_each(owner: str, option: tree.Option) -> str:
    """The repair of a list of texts where an option takes one."""
    items = option.value.items if isinstance(option.value, tree.Items) else ()
    texts = [f"{option.name}={spell(item)}" for item in items]
    if len(texts) == 1:
        return f"write `{texts[0]}`"
    return f"a term for each: `{' + '.join(f'{owner}({text})' for text in texts)}`" if texts else ""


def _wrong_part(node: tree.Node, raw: Any, declared: Any) -> tuple[Span, Any, Any]:
    """The place of a wrong value, the value, and its declared type: of a list the first item that is wrong."""
    inner = _bare(declared)
    lists = [found for kind in (inner, *get_args(inner)) if get_origin(found := _bare(kind)) is list]
    if isinstance(node, tree.Items) and isinstance(raw, list) and lists:
        (kind,) = get_args(lists[0])
        for item, value in zip(node.items, cast("list[Any]", raw), strict=True):
            try:
                validated(value, kind)
            except ValidationError:
                return item.span, value, kind
    return node.span, cast(Any, raw), declared


def _bare(declared: Any) -> Any:
    """A declared type without its bounds."""
    return get_args(declared)[0] if get_origin(declared) is Annotated else declared


def validated(raw: Any, declared: Any) -> Any:
    """`raw` as pydantic accepts it for a declared type; a float without a fraction may be an int."""
    adapter: TypeAdapter[Any] = TypeAdapter(declared)
    try:
        return adapter.validate_python(raw, strict=True)
    except ValidationError:
        if isinstance(raw, float) and raw.is_integer():
            return adapter.validate_python(int(raw), strict=True)
        raise


def is_dynamic(declared: Any) -> bool:
    """True if an option of this type may be a tensor of one number."""
    return get_origin(declared) is Annotated and Dynamic in get_args(declared)


def bounds_of(declared: Any) -> dict[str, float]:
    """The bounds that a declared type sets for a number: `{"ge": 0, "le": 1}`."""
    found = _read_bounds(get_args(declared)[1:]) if get_origin(declared) is Annotated else {}
    for inner in () if found else get_args(declared):
        found = found or bounds_of(inner)
    return found


def _words(declared: Any) -> tuple[str, ...]:
    """The words that a declared type allows: those of a Literal, also inside of a list or a union."""
    if get_origin(declared) is Literal:
        return tuple(map(str, get_args(declared)))
    return tuple(word for inner in get_args(declared) for word in _words(inner))


def _takes_names(declared: Any) -> bool:
    """True if a declared type holds texts, so that a bare word is one."""
    return declared is str or any(_takes_names(inner) for inner in get_args(declared))


def plain(node: tree.Node, words: bool, evaluate: Evaluate) -> Any:
    """A node as a plain Python value; a bare word is a text if `words` is True."""
    match node:
        case tree.Text(value=value):
            return value
        case tree.Word(value=value):
            return value
        case tree.Items(items=items):
            return [plain(item, words, evaluate) for item in items]
        case tree.Call(name=name, arguments=(), options=()) if words:
            return name
        case tree.Path() if words:
            return spell(node)
        case _:
            value = evaluate(node)
            if value is None:
                raise ReportedError
            return value.value if isinstance(value, NumberValue) else value


class ReportedError(Exception):
    """Raised where the mistake inside of a value has been reported already."""


def _beyond(raw: Any) -> bool:
    """True for a number whose square, or whose reciprocal, single precision cannot hold."""
    return isinstance(raw, (int, float)) and (abs(raw) > LARGEST or 0 < abs(raw) < SMALLEST)


def wording(declared: Any, *, beyond: bool = False) -> str:
    """A declared type in words: `a number of at least 0`.

    The bounds of single precision are named only with `beyond`, to a user who passed them.
    """
    origin, arguments = get_origin(declared), get_args(declared)
    if origin is Annotated:
        bounded = wording(arguments[0], beyond=beyond) + _bounds(arguments[1:], beyond)
        return f"{bounded}, or a path" if Dynamic in arguments else bounded
    if origin is Literal:
        return "one of " + ", ".join(f"`{choice}`" for choice in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(wording(member, beyond=beyond) for member in arguments)
    if origin is list:
        return f"a list, each {wording(arguments[0], beyond=beyond)}"
    names = {float: "a number", int: "a whole number", bool: "`true` or `false`", str: "a name"}
    return "`none`" if declared is type(None) else names.get(declared, str(declared))


def _bounds(annotations: Sequence[Any], beyond: bool) -> str:
    """The bounds of an annotated number in words."""
    words = {"ge": "of at least", "gt": "above", "le": "of at most", "lt": "below"}
    bounds = _read_bounds(annotations)
    if not beyond and bounds.get("le") == LARGEST and bounds.get("ge", -1) >= 0:
        del bounds["le"]
        if bounds["ge"] == SMALLEST:
            bounds = {"gt": 0}
    if bounds.keys() == {"ge", "le"}:
        return f" from {_bound(bounds['ge'])} to {_bound(bounds['le'])}"
    return "".join(f" {words[key]} {_bound(value)}" for key, value in bounds.items())


def _bound(value: float) -> str:
    """A bound: a whole number whole, unless single precision holds none larger."""
    return str(int(value)) if float(value).is_integer() and abs(value) < 2**53 else f"{value:g}"


def _read_bounds(annotations: Sequence[Any]) -> dict[str, float]:
    """The bounds among the annotations of a number."""
    bounds: dict[str, float] = {}
    for annotation in annotations:
        for bound in annotation.metadata if isinstance(annotation, FieldInfo) else [annotation]:
            bounds.update(
                {key: getattr(bound, key) for key in ("ge", "gt", "le", "lt") if hasattr(bound, key)}
            )
    return bounds


def describe(value: Any) -> str:
    """A value in the user's words."""
    match value:
        case NumberValue():
            return f"the number {Constant(value.value)}"
        case TensorValue():
            return f"the tensor `{value.expression}`"
        case TermsValue():
            return "a loss"
        case str():
            return f"`{value}`"
        case list():
            return "a list"
        case _:
            return f"`{str(value).lower()}`"


def frozen(value: Any) -> Any:
    """A list as a tuple, which can be hashed; any other value unchanged."""
    return tuple(cast("list[Any]", value)) if isinstance(value, list) else value


def arity(function: Function) -> tuple[int, str]:
    """The number of arguments of a function, and the same in words; the least number where it takes any."""
    parameters = [p for p in function.signature.parameters.values() if p.kind is not p.KEYWORD_ONLY]
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return (1, "one or more arguments") if function.reduces else (2, "two or more arguments")
    number = len(parameters)
    return number, f"{number} argument{'s' * (number != 1)}"
