"""YAML as people write it in a settings file: every scalar is the text that stands there, and every
key and item knows its line.

YAML turns `no` into False, `010` into 8 and `2026-02-31` into a crash, depending on its version. Here
nothing is turned into anything: the model that reads the values says what they are. Anchors, aliases
and tags are refused, so a small file cannot become a large one and a file cannot name a class.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from ruamel.yaml import YAML
from ruamel.yaml import events as ev
from ruamel.yaml.error import MarkedYAMLError, YAMLError

Path = tuple[str | int, ...]
Value = None | str | list["Value"] | dict[str, "Value"]

# 500 rooms take about 150 KB; the parser needs about a second for 100 KB.
MAX_BYTES = 256 * 1024
_MAX_DEPTH = 16
_NULLS = {"", "~", "null"}


@dataclass(frozen=True, slots=True)
class Fault:
    """`line` counts from 1; `path` names the key or item (indices count from 0)."""

    line: int
    path: Path
    message: str


@dataclass(slots=True)
class Document:
    """`value` is None for an empty text. `lines` has the line of each key and item, `()` being the top."""

    value: Value = None
    lines: dict[Path, int] = field(default_factory=lambda: {(): 1})
    faults: list[Fault] = field(default_factory=list)

    def line_of(self, path: Path) -> int:
        """Line of the path, or of the nearest part of it that stands in the text."""
        while path not in self.lines:
            path = path[:-1]
        return self.lines[path]


@dataclass(slots=True)
class _Open:
    """A mapping or sequence whose end has not come yet."""

    value: list[Value] | dict[str, Value]
    path: Path
    key: str | None = None


def read(text: str) -> Document:
    """The one document in `text`. Whatever is wrong is in `faults`, after which `value` may be partial."""
    document = Document()
    if len(text.encode(errors="surrogatepass")) > MAX_BYTES:
        document.faults.append(Fault(1, (), f"the file is over {MAX_BYTES // 1024} KB; is it a rooms file?"))
        return document
    try:
        _build(document, YAML(typ="safe", pure=True).parse(text.removeprefix("\ufeff")))
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        document.faults.append(Fault(line, (), f"not YAML: {error.problem or error.context}; mend this line"))
    except YAMLError as error:
        # The reader's refusal of a control character: it knows the position, not the line.
        line = text.count("\n", 0, getattr(error, "position", 0)) + 1
        summary = str(error).splitlines()[0]
        document.faults.append(Fault(line, (), f"not YAML: {summary}; remove that character"))
    return document


def _build(document: Document, events: Iterator[ev.Event]) -> None:
    stack: list[_Open] = []
    documents = 0
    for event in events:
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, ev.DocumentStartEvent):
            documents += 1
            if documents > 1:
                document.faults.append(Fault(line, (), "a second document begins here; remove the '---'"))
                return
        elif isinstance(event, ev.MappingEndEvent | ev.SequenceEndEvent):
            stack.pop()
        elif isinstance(event, ev.NodeEvent):
            if len(stack) > _MAX_DEPTH:
                document.faults.append(Fault(line, stack[-1].path, "nested too deeply; remove a level"))
                return
            _node(document, stack, event, line)


def _node(document: Document, stack: list[_Open], event: ev.NodeEvent, line: int) -> None:
    top = stack[-1] if stack else None
    if top and isinstance(top.value, dict) and top.key is None:
        _key(document, top, event, line)
        if not isinstance(event, ev.ScalarEvent | ev.AliasEvent):
            stack.append(_Open(_container(event), (*top.path, top.key or "")))
        return
    path = _path(top)
    document.lines.setdefault(path, line)
    value = _scalar(document, event, line, path)
    if not isinstance(event, ev.ScalarEvent | ev.AliasEvent):
        container = _container(event)
        stack.append(_Open(container, path))
        value = container
    if top is None:
        document.value = value
    elif isinstance(top.value, list):
        top.value.append(value)
    elif top.key is not None:
        top.value.setdefault(top.key, value)
        top.key = None


def _path(top: _Open | None) -> Path:
    if top is None:
        return ()
    return (*top.path, len(top.value) if isinstance(top.value, list) else top.key or "")


def _container(event: ev.NodeEvent) -> list[Value] | dict[str, Value]:
    return {} if isinstance(event, ev.MappingStartEvent) else []


def _key(document: Document, top: _Open, event: ev.NodeEvent, line: int) -> None:
    text = event.value if isinstance(event, ev.ScalarEvent) else ""
    top.key = str(text)
    path = (*top.path, top.key)
    if not isinstance(event, ev.ScalarEvent):
        document.faults.append(Fault(line, path, "a key must be one word; write it as 'key: value'"))
    elif path in document.lines:
        first = document.lines[path]
        document.faults.append(Fault(line, path, f"stands already in line {first}; remove one of the two"))
    document.lines.setdefault(path, line)


def _scalar(document: Document, event: ev.NodeEvent, line: int, path: Path) -> Value:
    if isinstance(event, ev.AliasEvent):
        document.faults.append(Fault(line, path, f"alias *{event.anchor} is not used here; write it out"))
        return None
    if event.anchor:
        document.faults.append(Fault(line, path, f"anchor &{event.anchor} is not used here; remove it"))
    tag = getattr(event, "tag", None)
    if tag not in {None, "!"}:
        document.faults.append(Fault(line, path, f"tag {tag} is not used here; remove it"))
    if not isinstance(event, ev.ScalarEvent):
        return None
    text = str(event.value)
    return None if event.style is None and text.casefold() in _NULLS else text
