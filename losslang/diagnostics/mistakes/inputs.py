"""E5, found at run time: arguments of a call that do not match the paths of the program."""

from __future__ import annotations

from fnmatch import fnmatchcase

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.elsewhere import nearest
from losslang.diagnostics.mistakes import mistake
from losslang.diagnostics.source import Span

Shape = tuple[int, ...]


def _names(available: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in available) or "nothing"


@mistake(
    "E501",
    form="python",
    example="losslang.compile('ce(mask=batch.valid)')(torch.randn(4, 3), torch.tensor([0, 1, 2, 0]))",
    repair="losslang.compile('ce(mask=batch.valid)')(\n"
    "    torch.randn(4, 3), torch.tensor([0, 1, 2, 0]), valid=torch.tensor([True, True, True, False])\n)",
)
def missing_input(
    span: Span, path: str, key: str, available: tuple[str, ...] | None, option: str = ""
) -> Diagnostic:
    """The program reads something that the call does not hand over, or hands over as None.

    `pred` and `target` are the first two arguments of the call and have no names there, `batch.name` is its
    keyword `name`, `const.name` an entry of `compile(const=...)`.
    """
    if path in ("pred", "target"):
        message = f"`{path}` is read here, and the call does not hand it over"
        fix = "call `loss(pred, target)`"
        if available:
            fix = f"the first two arguments have no names: `loss({available[0]}, {available[1]})`"
        return Diagnostic("", message, span, fix=fix)
    near = nearest(key, available or ())
    if path.startswith("batch"):
        fix = f"call `loss(pred, target, {key}=...)`"
        fix += f": did you mean this by `{near}`?" if near else ""
    elif path.startswith("const"):
        fix = f"compile with `const={{'{key}': ...}}`"
        fix += f", or did you mean `const.{near}`?" if near else ""
    elif near:
        fix = f"did you mean `{path.removesuffix(key)}{near}`?"
    else:
        fix = f"hand it over, or read one of {_names(available)}" if available else "hand it over"
    where = path.rpartition(".")[0] or "the call"
    if available is None:
        has = f"`{key}` is None" if path.startswith("batch") else "it is None"
        if option in ("mask", "weight"):
            fix = f"hand over a tensor, or a number: with `{key}=1` every value counts alike"
    elif available:
        has = f"{where} has only {_names(available)}"
    else:
        empty = {"batch": "the call has no keywords", "const": "`compile` was given no `const`"}
        has = empty.get(where, f"`{where}` is empty")
    return Diagnostic("", f"`{path}` is read here, and {has}", span, fix=fix)


@mistake(
    "E541",
    form="python",
    example="losslang.compile('ce(mask=batch.valid)')(\n"
    "    torch.randn(4, 3), torch.tensor([0, 1, 2, 0]), torch.tensor([True, True, True, False])\n)",
    repair="losslang.compile('ce(mask=batch.valid)')(\n"
    "    torch.randn(4, 3), torch.tensor([0, 1, 2, 0]), valid=torch.tensor([True, True, True, False])\n)",
)
def further_by_position(span: Span, number: int, fix: str) -> Diagnostic:
    """A call hands over more than a prediction and a target without a name.

    `loss(pred, target, **batch)`: the program reads everything else as `batch.name`, the keyword `name` of
    the call, so that no order has to be remembered.
    """
    message = (
        f"the call hands over {number} arguments by position, and only prediction and target have no name"
    )
    return Diagnostic("", message, span, fix=fix)


@mistake(
    "E502",
    form="python",
    example="losslang.compile('mse@(pred.mu, target)')(torch.randn(4), torch.randn(4))",
    repair="losslang.compile('mse@(pred.mu, target)')({'mu': torch.randn(4)}, torch.randn(4))",
)
def no_way_into(span: Span, path: str, step: str, found: str, fix: str) -> Diagnostic:
    """A path asks for a part of something that has no such part.

    `.key` reads an entry of a mapping or a field of a named tuple or a dataclass, `[i]` an element
    of a list or a tuple, `[a:b]` channels of a tensor or part of a list. A slice that reaches beyond
    them is never cut to fit: of no channels a loss is 0, and nothing trains. Negative bounds count from
    the end, as in Python.
    """
    return Diagnostic("", f"`{path}` is {found}: there is no `{step}` in it", span, fix=fix)


@mistake(
    "E530",
    form="python",
    example="losslang.compile('l1@(pred[0:2], target)')(torch.randn(4, 5, 3), torch.randn(4, 5, 2))",
    repair="losslang.compile('l1(channels=last)@(pred[0:2], target)')(torch.randn(4, 5, 3), torch.randn(4, 5, 2))",
)
def which_axis(span: Span, path: str, found: Shape) -> Diagnostic:
    """Channels are sliced out of plain values of three axes, and nothing says which axis they are.

    (B, T, D) has them last and (B, C, T) first. Losses of classes and of images read axis 1, losses of boxes
    and embeddings the last; for all others `channels=` says it, once for every term on this tensor.
    """
    return Diagnostic(
        "",
        f"`{path}` slices channels out of a tensor {found}, and nothing says which axis they are",
        span,
        fix="write it in a loss on this tensor: `channels=last` for (B, T, D), `channels=first` for (B, C, T)",
    )


@mistake(
    "E503",
    form="python",
    example="losslang.compile('mse')(torch.randn(4), {'depth': torch.randn(4)})",
    repair="losslang.compile('mse@(pred, target.depth)')(torch.randn(4), {'depth': torch.randn(4)})",
)
def not_a_tensor(span: Span, term: str, path: str, found: str, fix: str) -> Diagnostic:
    """Something else than a tensor, or an array or a list of numbers, which are read as one.

    A model that returns a mapping, a named tuple or a dataclass has heads, and a term says which of them it
    reads: `mse@depth` compares `pred["depth"]` with `target["depth"]`, or with the target itself if that is
    one tensor. Of a list, and where names differ, the operands are written: `mse@(pred[0], target.depth)`.
    """
    reads = f"`{path}` is" if term == path else f"`{term}` reads `{path}`, which is"
    return Diagnostic("", f"{reads} {found}, not a tensor", span, fix=fix)


@mistake(
    "E524",
    form="python",
    example="losslang.compile('mse')(torch.randn(4, 3), torch.eye(4, 3).to_sparse())",
    repair="losslang.compile('mse')(torch.randn(4, 3), torch.eye(4, 3))",
)
def wrong_layout(span: Span, term: str, path: str, found: str) -> Diagnostic:
    """A tensor whose elements do not stand in rows and columns: sparse, nested, or of MKL-DNN.

    Most operations of torch do not know these; a loss reads dense tensors alone.
    """
    fix = "convert it with `.to_dense()`"
    if found in ("jagged", "nested"):
        fix = "pad it, `.to_padded_tensor(0.0)`, and say what is padding: `mask=batch.valid`"
    return Diagnostic(
        "", f"`{path}` of `{term}` is a {found} tensor", span, caret="wants a dense one", fix=fix
    )


@mistake(
    "E519",
    form="python",
    example="losslang.compile('perceptual(net=const.vgg)', const={'vgg': 3})(torch.rand(1, 3, 8, 8), torch.rand(1, 3, 8, 8))",
    repair="losslang.compile('perceptual(net=const.vgg)', const={'vgg': torch.nn.Conv2d(3, 4, 3)})(torch.rand(1, 3, 8, 8), torch.rand(1, 3, 8, 8))",
)
def not_a_network(span: Span, term: str, operand: str, found: str) -> Diagnostic:
    """A loss through a network is handed something that is none.

    `compile(const={"vgg": module})` gives the module, and the program reads it as `const.vgg`.
    """
    return Diagnostic(
        "", f"`{operand}` of `{term}` is {found}", span, caret="wants a module", fix="hand over an nn.Module"
    )


@mistake(
    "E520",
    form="python",
    example="losslang.compile('mse + 1e-4*l2_reg')",
    repair="losslang.compile('mse + 1e-4*l2_reg', params=torch.nn.Linear(2, 2).named_parameters())",
)
def no_parameters(span: Span, term: str) -> Diagnostic:
    """A term reads the parameters of a model, and `compile` is given none."""
    return Diagnostic(
        "",
        f"`{term}` reads the parameters of the model, and none are given",
        span,
        fix="`compile(..., params=model)`",
    )


@mistake(
    "W351",
    form="python",
    example="losslang.compile('l2_reg', params=torch.nn.Linear(2, 2).state_dict().items())",
    repair="losslang.compile('l2_reg', params=torch.nn.Linear(2, 2).named_parameters())",
)
def parameters_without_gradient(span: Span, term: str) -> Diagnostic:
    """`params=` holds plain tensors without a gradient, as those of a `state_dict`: the term trains nothing.

    A frozen parameter of a model is no mistake: it is a parameter, and may be trained later.
    """
    message = f"`{term}` reads tensors without a gradient, which are no parameters"
    return Diagnostic("", message, span, why="it trains none of them", fix="`compile(..., params=model)`")


@mistake(
    "E540",
    form="python",
    example="losslang.compile('l2_reg', params=torch.nn.Linear(2, 2))()",
    repair="losslang.compile('l2_reg', params=torch.nn.Linear(2, 2).named_parameters())()",
)
def parameters_gone(span: Span, term: str, name: str) -> Diagnostic:
    """The model of `compile(params=model)` is gone, or has no parameter of a name that matched any more.

    The model is held weakly, and its parameters are looked up by name in every call. A list of parameters,
    `params=model.named_parameters()`, is fixed: it holds them, and sees none that takes their place.
    """
    message = f"`{term}` reads `{name}`, and the model has no such parameter any more"
    if not name:
        message = f"`{term}` reads the parameters of a model that nobody holds any more"
    fix = "keep the model as long as its loss, or compile the loss again with `params=` of the new one"
    return Diagnostic("", message, span, fix=fix)


@mistake(
    "E521",
    form="python",
    example="losslang.compile(\"mse + l2_reg(match='*.wieght')\", params=torch.nn.Linear(2, 2).named_parameters())",
    repair="losslang.compile(\"mse + l2_reg(match='weight')\", params=torch.nn.Linear(2, 2).named_parameters())",
)
def matches_nothing(span: Span, term: str, pattern: str, names: tuple[str, ...]) -> Diagnostic:
    """A pattern that no parameter of the model matches: the term would be 0 for ever."""
    shown = ", ".join(f"`{name}`" for name in names[:6]) + (", ..." if len(names) > 6 else "")
    inside = (f"*{pattern}", f"*{pattern}*")
    wide = next((wide for wide in inside if any(fnmatchcase(name, wide) for name in names)), "")
    match = f'; `match="{wide}"` matches some' if wide else ""
    return Diagnostic(
        "",
        f"`{pattern}` of `{term}` matches none of the {len(names)} parameters",
        span,
        fix=f"they are called {shown or 'nothing: there are none'}{match}",
    )


@mistake(
    "E512",
    form="python",
    example="losslang.compile('pred.aux + ce@logits')(\n"
    "    {'aux': torch.rand(4), 'logits': torch.randn(4, 3)}, torch.tensor([0, 1, 2, 0])\n)",
    repair="losslang.compile('mean(pred.aux) + ce@logits')(\n"
    "    {'aux': torch.rand(4), 'logits': torch.randn(4, 3)}, torch.tensor([0, 1, 2, 0])\n)",
)
def not_scalar(span: Span, term: str, found: Shape, path: str, option: str = "") -> Diagnostic:
    """A tensor stands where one number is needed.

    A path that is a term of its own holds one number, and so does what multiplies a loss that is already
    reduced, as in `w*sqrt(mse)`: its `mean` or its `sum`, which differ. `avg_factor` is how many there are: a
    count for each sample adds up, `avg_factor=sum(batch.n)`.
    """
    fix = f"reduce it: `mean({path})`, or `sum({path})`"
    if option == "avg_factor":
        fix = f"counts of samples add up: `avg_factor=sum({path})`"
    elif option:
        fix = f"hand over one number, or write how it is made of these: `{option}=mean({path})`"
    return Diagnostic(
        "",
        f"`{term}` has shape {tuple(found)}, and one number is needed here",
        span,
        fix=fix,
    )


@mistake(
    "E515",
    form="python",
    example="losslang.compile('pred.cls + pred.box')(\n"
    "    {'cls': torch.tensor(1.0), 'box': torch.tensor(2.0), 'mask': torch.tensor(3.0)}\n)",
    repair="losslang.compile('pred.cls + pred.box', ignore=['mask'])(\n"
    "    {'cls': torch.tensor(1.0), 'box': torch.tensor(2.0), 'mask': torch.tensor(3.0)}\n)",
)
def unread_losses(span: Span, where: str, unread: tuple[str, ...]) -> Diagnostic:
    """A mapping of losses holds one that no term reads.

    Models of torchvision, detectron2 and transformers return their losses by name; one that the
    program forgets would be lost without a word.
    """
    listed = ", ".join(f"'{name}'" for name in unread)
    return Diagnostic(
        "",
        f"`{where}` holds {_names(unread)}, which no term reads",
        span,
        fix=f"add `{''.join(f' + {where}.{name}' for name in unread).strip()}`, or compile with `ignore=[{listed}]`",
    )


@mistake(
    "W320",
    form="python",
    example="losslang.compile('ce')(torch.randn(4, 3), torch.tensor([0, 1, 2, 0]), num_items_in_batch=7)",
    repair="losslang.compile('ce(avg_factor=batch.num_items_in_batch)')(\n"
    "    torch.randn(4, 3), torch.tensor([0, 1, 2, 0]), num_items_in_batch=7\n)",
)
def keyword_without_effect(span: Span, name: str, fix: str) -> Diagnostic:
    """The call hands over a keyword that the program does not read, and its name expects an effect.

    Keywords are `batch.name` of the program, and nothing else: a weight, a mask or a count does something
    where an option reads it. Others that the program does not read are ignored without a word, so that a
    whole batch can be handed over.
    """
    message = f"`{name}` is handed over, and the program does not read `batch.{name}`"
    return Diagnostic("", message, span, why="it changes nothing", fix=fix)
