"""Read a manifest file so that every mistake in it can be shown by file, line and cure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml
from jsonschema import Draft202012Validator, ValidationError

# A manifest is a page or two; anything larger was not written by a person.
_MAX_BYTES = 256 * 1024
_SCHEMA: Mapping[str, Any] = json.loads(Path(__file__).with_name("manifest.schema.json").read_text("utf-8"))
_VALIDATOR, _DEFINITIONS = Draft202012Validator(_SCHEMA), _SCHEMA["$defs"]


class ManifestError(Exception):
    """A manifest is not valid; each problem names file, line, place and cure."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A YAML file as data, and as the nodes that know where each value stands."""

    path: Path
    root: yaml.Node
    data: Any

    def problem(self, where: Sequence[str | int], what: str) -> str:
        """Say what is wrong at a place, by file and line."""
        place = ".".join(str(step) for step in where) or "the manifest"
        return f"{self.path}:{self._line(where)}: {place} {what}"

    def refuse(self, problems: Iterable[str]) -> None:
        """Raise `ManifestError` if there are any problems."""
        if found := list(problems):
            raise ManifestError(found)

    def _line(self, where: Sequence[str | int]) -> int:
        node, line = self.root, self.root.start_mark.line
        for step in where:
            if isinstance(node, yaml.MappingNode):
                found = next((pair for pair in node.value if pair[0].value == str(step)), None)
                if found is None:  # it came in by a merge key (`<<`): the mapping is near enough
                    break
                line, node = found[0].start_mark.line, found[1]
            else:
                node = node.value[int(step)]
                line = node.start_mark.line
        return line + 1


def read_document(path: Path) -> Document:
    """Read and validate against the schema. Raises `ManifestError`."""
    document = _parse(path)
    document.refuse(_repeated_keys(document, document.root))
    errors = sorted(
        _VALIDATOR.iter_errors(document.data), key=lambda error: list(map(str, error.absolute_path))
    )
    document.refuse(problem for error in errors for problem in _explain(document, error))
    return document


def _parse(path: Path) -> Document:
    try:
        text = _text(path)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
    except OSError as error:
        raise ManifestError([f"{path}:1: cannot be read ({error.strerror}): create the file"]) from error
    except UnicodeDecodeError as error:
        raise ManifestError([f"{path}:1: is not UTF-8: save it as UTF-8"]) from error
    except yaml.YAMLError as error:
        raise ManifestError([_syntax_problem(path, error)]) from error
    if root is None:
        raise ManifestError([f"{path}:1: is empty: copy another vendor's manifest and change it"])
    return Document(path=path, root=root, data=data)


def _text(path: Path) -> str:
    with path.open("rb") as file:
        content = file.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise ManifestError([f"{path}:1: is larger than {_MAX_BYTES} bytes: a manifest is a page or two"])
    return content.decode("utf-8")


def _syntax_problem(path: Path, error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    line = mark.line + 1 if mark else 1
    what = getattr(error, "problem", None) or "cannot be parsed"
    return f"{path}:{line}: is not YAML ({what}): check indentation, quotes and colons"


def _repeated_keys(document: Document, node: yaml.Node) -> Iterator[str]:
    # YAML lets the last of two equal keys win silently, which hides half of what was written.
    if isinstance(node, yaml.MappingNode):
        seen: set[Any] = set()
        for key, value in node.value:
            if key.value in seen:
                line = key.start_mark.line + 1
                yield f"{document.path}:{line}: {key.value} is written twice: keep one"
            seen.add(key.value)
            yield from _repeated_keys(document, value)
    elif isinstance(node, yaml.SequenceNode):
        for entry in node.value:
            yield from _repeated_keys(document, entry)


def _explain(document: Document, error: ValidationError) -> Iterator[str]:
    where, schema = list(error.absolute_path), cast("Mapping[str, Any]", error.schema)
    known = schema.get("properties", {})
    match error.validator:
        case "additionalProperties":
            for name in (key for key in cast("Any", error.instance) if key not in known):
                yield document.problem([*where, name], f"is not known here: choose from {', '.join(known)}")
        case "required":
            # The library reports each missing name by itself, at the end of its message's quotes.
            name = error.message.split("'")[1]
            yield document.problem(where, f"lacks {name}: {_cure(known.get(name, schema))}")
        case _:
            yield document.problem(where, f"is not valid ({error.message[:200]}): {_cure(schema)}")


def _cure(schema: Mapping[str, Any]) -> str:
    if reference := schema.get("$ref"):
        schema = _DEFINITIONS[reference.rpartition("/")[2]]
    return str(schema.get("description", "see manifest.schema.json"))
