"""The values of a config file under the keys asked for: expressions, mistakes, or nothing of ours."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from losslang.diagnostics.diagnostic import Diagnostic
from losslang.diagnostics.mistakes import configs, files
from losslang.diagnostics.source import Source, Span
from losslang.meaning.foreign_config import is_loss
from losslang.meaning.overrides import Setting
from losslang.tools.configfile.doubts import cut, interpolated, swallows
from losslang.tools.configfile.find import Match, find, rule
from losslang.tools.configfile.foreign_calls import respelled
from losslang.tools.configfile.forms import JSON, YAML, Form
from losslang.tools.configfile.interpolation import MISSING, Filler, Unanswered
from losslang.tools.configfile.nodes import Decoded, Mapping, Node, Scalar, Sequence, each
from losslang.tools.configfile.other_libraries import is_theirs
from losslang.tools.configfile.settings import no_mapping_of, settings_of
from losslang.tools.configfile.several import configuring
from losslang.tools.configfile.targets import ARGUMENTS, Target, builds_below, target_of, wrong
from losslang.tools.expressions import FOREIGN, GIVEN_ELSEWHERE, Expressions


class Asked(NamedTuple):
    """How a file is read: which keys, and who says so."""

    key: str | None = None
    named: bool = True  # False: found in a folder, where most files are none of ours
    whole: bool = False  # a composed config: no other file adds to it


@dataclass
class Values:
    """The values of one file, judged one by one."""

    file: Source
    form: Form
    asked: Asked
    filler: Filler = field(init=False)
    judged: list[tuple[int, Source | Diagnostic, dict[str, Setting]]] = field(
        init=False, default_factory=list[Any]
    )
    left: list[str] = field(init=False, default_factory=list[str])
    taken: set[int] = field(init=False, default_factory=set[int])

    def __post_init__(self) -> None:
        self.filler = Filler.of(self.file.text, lambda scalar: self.form.decoded(self.file.text, scalar))

    def says(self, scalar: Scalar) -> str:
        """The text of a scalar."""
        return self.form.decoded(self.file.text, scalar).text

    def read(self) -> Expressions:
        """The expressions of the file, its mistakes, and why values were left alone; in the order of the file."""
        key = self.asked.key
        documents = self.form.tree(self.file)
        matches = find(self.file, documents, rule(key), self.says, targets=key is None)
        for node in each(documents) if key is None else ():
            self._judge_target(node)
        if not matches and not self.judged and key is None:
            matches = [one for one in map(_top, documents) if self._is_foreign_loss(one.node)]
        if not matches and not self.judged:
            return Expressions((), (self._nothing(documents).at(self.file),))
        spread = [one for match in matches for one in self._spread(match)]
        foreign = ["" if self._is_ours(one.node) else builds_below(one.node, self.says) for one in spread]
        # Objects of other libraries are none of our business where a file holds expressions, too.
        left_alone = key is None and (not self.asked.named or not all(foreign))
        for one, target in zip(spread, foreign, strict=True):
            if target and left_alone:
                self.left.append(FOREIGN)
            else:
                self._judge(one, target)
        self.judged.sort(key=lambda row: row[0])
        sources = [(item, given) for _, item, given in self.judged if isinstance(item, Source)]
        return Expressions(
            tuple(source for source, _ in sources),
            tuple(item for _, item, _ in self.judged if isinstance(item, Diagnostic)),
            tuple(given for _, given in sources),
            tuple(self.left),
        )

    def _nothing(self, documents: list[Node]) -> Diagnostic:
        """The mistake of a file in which nothing is found, with the keys that may have been meant."""
        key = self.asked.key
        sound = find(
            self.file,
            documents,
            lambda _, name: key is not None or _sounds_right(name),
            self.says,
            key is None,
        )
        texts = [one.path for one in sound[:1000] if isinstance(one.node, Scalar) and one.node.kind == "text"]
        return files.nothing_found(key, texts[:3] if key is None else difflib.get_close_matches(key, texts))

    def _judge_target(self, node: Node) -> None:
        """Notes the mistakes of a mapping that builds a loss of losslang."""
        target = target_of(node, self.says)
        for diagnostic in wrong(target) if target is not None and target.is_ours else ():
            self.judged.append((diagnostic.span.start, diagnostic.at(self.file), {}))

    # ------------------------------------------------------------------------ one value or several

    def _spread(self, match: Match) -> Iterator[Match]:
        """The values that a match stands for: itself, or the entries of a mapping that holds losses by name."""
        node = match.node
        if isinstance(node, Mapping) and self._holds_losses(node):
            for name, span, value in node.entries:
                yield match.below(f".{name}", value, span)
        else:
            yield match

    def _holds_losses(self, mapping: Mapping) -> bool:
        """True for a mapping of texts of which no key configures another program."""
        if mapping.tag or mapping.merged or self._configures(mapping) or _lacks_target(mapping):
            return False
        return bool(mapping.entries) and all(_is_text(entry.node) for entry in mapping.entries)

    # ------------------------------------------------------------------------ one value

    def _judge(self, one: Match, builds: str) -> None:
        """Notes the Source of a value with its warning, the mistake that it is, or why it is left alone."""
        target = target_of(one.node, self.says)
        if target is not None and target.is_ours:
            self._judge_text(one, target)
        elif not self.asked.named and self._is_of_others(one.node):
            self.left.append(FOREIGN)
        elif builds or not isinstance(one.node, Scalar) or one.node.kind != "text":
            self._note(one.node, self._no_text(one, builds).at(self.file))
        else:
            self._judge_scalar(one, None)

    def _is_ours(self, node: Node) -> bool:
        """True for a mapping that builds a loss of losslang."""
        target = target_of(node, self.says)
        return target is not None and target.is_ours

    def _is_foreign_loss(self, node: Node) -> bool:
        """True for a mapping that builds a loss of another library, as its name tells."""
        target = target_of(node, self.says)
        return target is not None and is_loss(target.name)

    def _is_of_others(self, node: Node) -> bool:
        """True for what a folder holds beside our configs: losses of other programs, records of runs in JSON."""
        if isinstance(node, Mapping):
            return self._configures(node)
        return self.form is JSON and not _is_text(node)

    def _configures(self, mapping: Mapping) -> bool:
        """True for a mapping that configures another program's loss."""
        return configuring(mapping, self.says) is not None

    def _judge_text(self, one: Match, target: Target) -> None:
        """Judges the `text` of a mapping that builds a loss of losslang."""
        text = target.argument("text")
        if text is None and self.asked.whole:
            self._note(one.node, configs.no_text(one.span, one.path or "the config").at(self.file))
        elif text is None:
            self.left.append(GIVEN_ELSEWHERE)
        else:
            inside = (
                one if not target.path else one.below(target.path, target.arguments or one.node, one.span)
            )
            value = inside.below(".text", text.node, text.span)
            if isinstance(text.node, Scalar) and text.node.kind == "text":
                self._judge_scalar(value, target)
            else:
                self._note(text.node, self._no_text(value, "").at(self.file))

    def _judge_scalar(self, one: Match, target: Target | None) -> None:
        """Judges a text: an expression, once its interpolations are filled in."""
        filled = (
            self.filler.fill(one) if self.form is YAML else self.form.decoded(self.file.text, _scalar(one))
        )
        if isinstance(filled, Match):
            # Another value of the file stands here: it is judged where it is written.
            one, filled = filled, None if not _is_text(filled.node) else self.filler.fill(filled)
        if id(one.node) in self.taken:
            return
        self.taken.add(id(one.node))
        if filled is None or isinstance(filled, Match):
            self._judge(one, builds_below(one.node, self.says))
        elif isinstance(filled, Unanswered):
            self._unanswered(one, filled)
        elif filled.text.strip() == MISSING:
            self.left.append(GIVEN_ELSEWHERE)
        elif self.asked.key is None and target is None and is_theirs(one.path, filled.text):
            self.left.append(FOREIGN)
        else:
            self._expression(one, filled, target)

    def _expression(self, one: Match, filled: Decoded, target: Target | None) -> None:
        """Notes the Source of an expression, unless the format spoils it."""
        scalar = _scalar(one)
        written = self.form.decoded(self.file.text, scalar)
        refused = interpolated(filled) or swallows(self.file.text, written, self.form.name)
        if refused is not None:
            self._note(scalar, refused.at(self.file))
            return
        source = Source(filled.text, self.file.filename, one.path, self.file.text, filled.offsets)
        given, left = settings_of(self.file, self.form, target, one, self.filler)
        self.left += left
        wrong = no_mapping_of(self.file, self.form, target, one, self.filler)
        if wrong is not None:
            self._note(scalar, wrong.at(self.file))
        self._note(scalar, source, given)
        doubt = cut(self.file.text, scalar, written, one.path) if self.form is YAML else None
        if doubt is not None:
            self._note(scalar, doubt.at(self.file))

    def _unanswered(self, one: Match, at: Unanswered) -> None:
        """Notes an interpolation that the file does not answer."""
        written = self.form.decoded(self.file.text, _scalar(one))
        text = written.text[at.start : at.end]
        span = Span(written.offsets[at.start], written.offsets[at.end - 1] + 1)
        if self.asked.whole:
            self._note(one.node, files.interpolation(span, text, composed=True).at(self.file))
        elif text == written.text:
            self.left.append(GIVEN_ELSEWHERE)
        else:
            self._note(one.node, configs.filled_in_elsewhere(span, text).at(self.file))

    def _place(self, one: Match) -> Span:
        """The key of a value; of a whole file its target."""
        target = None if one.path else target_of(one.node, self.says)
        return one.span if target is None else Span(target.written.start, target.written.end)

    def _note(self, node: Node, item: Source | Diagnostic, given: dict[str, Setting] | None = None) -> None:
        self.judged.append((node.start, item, given or {}))

    def _no_text(self, one: Match, builds: str) -> Diagnostic:
        """The mistake of a value that is no text."""
        node, path = one.node, one.path
        if builds:
            fix = respelled(node, builds, self.says)
            return files.foreign(self._place(one), path, builds, respelled=fix)
        if isinstance(node, Mapping) and _lacks_target(node):
            return files.without_target(one.span, path)
        if not isinstance(node, Scalar):
            by = configuring(node, self.says) if isinstance(node, Mapping) else None
            kind, span = (
                ("list" if isinstance(node, Sequence) else "mapping"),
                one.span if by is None else by.span,
            )
            return files.container(span, path, kind, configures="" if by is None else by.name)
        span = Span(node.start if node.head < 0 else node.head, node.end)
        written = self.file.text[span.start : span.end]
        if node.kind == "nothing":
            return files.empty(span if written else one.span, path, written, self.form.name)
        return files.not_text(span, path, node.kind, written, self.form.name)


def _top(document: Node) -> Match:
    """A whole document."""
    return Match("", document, Span(0, 0))


def _lacks_target(mapping: Mapping) -> bool:
    """True for a `text` with other arguments of `losslang.compile` beside it, and no target that takes them."""
    names = {entry.name for entry in mapping.entries}
    return "text" in names and len(names) > 1 and names <= set(ARGUMENTS)


def _scalar(one: Match) -> Scalar:
    assert isinstance(one.node, Scalar)
    return one.node


def _is_text(node: Node) -> bool:
    return isinstance(node, Scalar) and node.kind == "text"


def _sounds_right(name: str) -> bool:
    """True if the name of a key contains one of `files.KEYS`."""
    return any(key in name.lower() for key in files.KEYS)
