"""Hypothesis strategies that write programs: trees first, so that every text has a known meaning."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from losslang.diagnostics.elsewhere import OURS
from losslang.syntax import tree

NAMES = st.sampled_from(
    ["ce", "dice", "rec", "a", "b2", "_x", "focal", "mean", "Loss", "ramp", "learn", "l1"]
)
KEYS = st.sampled_from(["seg", "mu", "layers", "x_1", "pred", "true", "boxes"])
NUMBERS = st.one_of(
    st.integers(0, 10**7),
    st.floats(0, 1e30, allow_nan=False, allow_infinity=False),
    st.sampled_from([1e-5, 5e-324, 0.1, 1e16, 1.5e22, 1.0]),
).map(lambda value: tree.Number(value=value))
INDEX = st.integers(-3, 12)
ACCESS = st.one_of(
    KEYS.map(tree.Key),
    INDEX.map(tree.Index),
    st.builds(tree.Slice, st.none() | INDEX, st.none() | INDEX),
)
PATHS = st.builds(
    tree.Path,
    root=st.sampled_from(tree.ROOTS),
    steps=st.lists(ACCESS, max_size=3).map(tuple),
)
WORDS = st.sampled_from([True, False, None]).map(lambda value: tree.Word(value=value))
TEXTS = st.text(st.sampled_from("abc_-. ()#;=*@'"), max_size=6).map(lambda value: tree.Text(value=value))
LEAVES = st.one_of(NUMBERS, PATHS, WORDS, NAMES.map(lambda name: tree.Call(name=name)))


def tuples(of: st.SearchStrategy[Any], low: int, high: int) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(of, min_size=low, max_size=high).map(tuple)


def compound(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Every node that holds others."""
    values = st.one_of(inner, TEXTS, tuples(inner | TEXTS, 0, 3).map(lambda items: tree.Items(items=items)))
    options = st.builds(tree.Option, name=KEYS, value=values)
    heads = st.builds(
        lambda name, steps: tree.Route(path=tree.Path(root=name, steps=steps)),
        KEYS,
        tuples(ACCESS, 0, 2),
    )
    operands = tuples(inner, 1, 3).map(lambda items: tree.Operands(items=items))
    return st.one_of(
        st.builds(tree.Call, name=NAMES, arguments=tuples(inner, 0, 2), options=tuples(options, 0, 3)),
        st.builds(tree.Negative, operand=inner),
        st.builds(tree.Power, base=inner, exponent=inner),
        chain(tree.Product, "factors", inner, "*/"),
        chain(tree.Sum, "terms", inner, "+-"),
        st.builds(tree.Routed, body=inner, route=heads | operands),
    )


def chain(node: Any, field: str, inner: st.SearchStrategy[Any], signs: str) -> st.SearchStrategy[Any]:
    """Two to four operands; an operator stands before each but the first."""
    later = tuples(st.tuples(st.sampled_from(signs), inner), 1, 3)

    def build(first: Any, pairs: tuple[tuple[str, Any], ...]) -> Any:
        operators = tuple(sign for sign, _ in pairs)
        return node(**{field: (first, *(operand for _, operand in pairs))}, operators=operators)

    return st.builds(build, inner, later)


EXPRESSIONS = st.recursive(LEAVES, compound, max_leaves=12)
BINDINGS = st.builds(tree.Binding, name=st.sampled_from(["p", "q", "gan"]), value=EXPRESSIONS)
PROGRAMS = st.builds(tree.Program, bindings=tuples(BINDINGS, 0, 3), result=EXPRESSIONS)

# Words of real programs and of real mistakes, to be strewn at random.
PIECES = st.sampled_from(
    [
        *"()[]+-*/@=,.:;#'\"\n\t ${}&|<>!%^~`\\?",
        *["**", "ce", "dice", "bce", "sigmoid", "softmax", "pred", "target", "batch", "const", "metric"],
        *["smooth=", "reduction=", "mean", "topk", "mask=", "class_weight=[1,2]", "1", ".5", "1e-5", "0"],
        *["1e999", "9**9**9", "true", "none", "@seg", "@(pred.a, target)", "ramp(0,1,steps=3)", "learn(0)"],
        *["x = ", "x", "\r\n", "é", "\x00", "\ud800", "−", "１", "‘", *list(OURS)[:6]],
    ]
)
NOISE = st.one_of(st.lists(PIECES, max_size=40).map("".join), st.text(max_size=60))

# Programs that mean something, as texts: the losses, options and routes of real configs, put together at random.
USES = st.sampled_from(
    [
        *["ce", "ce(label_smoothing=0.1)", "ce(ignore_index=255)", "ce(mask=batch.valid)", "cross_entropy"],
        *["ce(class_weight=[1, 2])", "ce(class_weight=balanced)", "ce(class_weight=[1, 2], reduction=mean)"],
        *["ce(reduction=topk(frac=0.2))", "ce(softmax(temperature=2))", "bce(sigmoid, pos_weight=3)", "bce"],
        *["bce_with_logits", "dice", "dice(smooth=1)", "dice(softmax, background=false, batch=true)"],
        *["dice(identity)", "dice(like=monai)", "focal(gamma=1.5)", "focal(sigmoid, alpha=0.25)", "jaccard"],
        *["tversky(alpha=0.3, beta=0.7)", "l1", "mae", "mse", "mse(reduction=sum)", "mse(avg_factor=batch.n)"],
        *["mse(weight=batch.w, reduction=wmean)", "mse(tanh)", "sse", "rmse", "huber(delta=0.5)", "ssim"],
        *["quantile(q=[0.1, 0.5])", "gaussian_nll(variance=batch.v)", "gaussian_nll(variance=2, full=true)"],
        *["mse@(pred.mu, batch.noise)", "l1@(pred[0:1], target[0:1])", "bce(sigmoid, pred=batch.fake, target=1)"],
        *["iou(mode=log)@boxes", "kd(temperature=2)", "hinge(margin=2)", "nll", "triplet@(pred.a, pred.p, pred.n)"],
        *["pred.aux", "pred.aux[0]", "pred.losses[-1]", "mean(batch.d)", "batch.d/batch.n", "metric(zero_one)"],
        *["huber(delta=batch.d)", "focal(gamma=2*batch.g)", "ce(ignore_index=[254, 255])", "dice(classes=[1, 2])"],
        *["mean((pred - target)**2)", "mean(pred.a - (pred.b - pred.c))", "1e-4*l2_reg(match='*.weight')"],
        *["mean(logsumexp(pred, dim=1)**2)", "sum(batch.m*norm(pred.a, dim=[1, -1]))", "norm(pred.a)", "max(batch.d)"],
        *["l1(pred=sum(softmax(pred, dim=1)*const.bins, dim=1))", "infonce(normalize)@(pred.a, pred.b)"],
        *["mean(normalize(pred.a, dim=-1, eps=1e-6)*log_softmax(pred.b, dim=-1))", "min(max(pred.a, dim=0), 3)*mse"],
        *["triplet(normalize(eps=1e-6))@(pred.a, pred.p, pred.n)"],
    ]
)  # fmt: skip
HEADS = st.sampled_from(["seg", "aux[0]", "aux[-1]", "deep.fine[1:3]", "deep[:2]", "deep[1:]", "x_1"])
WEIGHTS = st.sampled_from(
    ["0.5", "2", "0", "1e-4", "100_000", "alpha", "(1 - alpha)", "batch.s", "-1", "0.1/3"]
)
SHAPES = st.sampled_from(
    ["sqrt({})", "1 - {}", "2 - 3*{}", "{}**0.5", "detach({})", "max({}, 0.5)", "exp(-{})", "-{}", "({})/2"]
)


def _wider(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Sums, products, routes and functions of terms."""
    pair = st.tuples(inner, inner)
    return st.one_of(
        st.tuples(WEIGHTS, inner).map(lambda made: f"{made[0]}*({made[1]})"),
        st.tuples(inner, HEADS).map(lambda made: f"({made[0]})@{made[1]}"),
        st.tuples(SHAPES, inner).map(lambda made: made[0].format(f"({made[1]})")),
        pair.map(lambda made: f"{made[0]} + {made[1]}"),
        pair.map(lambda made: f"{made[0]} - ({made[1]})"),
        pair.map(lambda made: f"({made[0]})*({made[1]})"),
        pair.map(lambda made: f"({made[0]})/({made[1]})"),
    )


TERMS = st.recursive(USES, _wider, max_leaves=5)


def _program(parts: tuple[str, str, str]) -> str:
    """The text of a program; what it does not use is not bound."""
    seg, gan, result = parts
    lines = [f"gan = {gan}", f"seg = {seg}"]
    kept = [line for line in lines if f"{line[:3]}_" in result]
    text = "\n".join([*kept, result.replace("gan_", "gan").replace("seg_", "seg")])
    return f"alpha = 0.25\n{text}" if "alpha" in text.replace("alpha=", "") else text


RESULTS = st.one_of(
    TERMS,
    st.tuples(TERMS, WEIGHTS).map(lambda made: f"{made[1]}*gan_ + {made[0]}"),
    st.tuples(TERMS, WEIGHTS).map(lambda made: f"{made[0]} + {made[1]}*seg_ + 0.1*(gan_ + seg_)"),
    st.just("gan_ + seg_ + 2*gan_"),
)
TEXTS_THAT_MEAN_SOMETHING = st.tuples(TERMS, TERMS, RESULTS).map(_program)
