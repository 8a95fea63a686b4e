"""YAML in and out. JSON is YAML too."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from timer_client.ctl.faults import Fault

_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """Times stay text: the service reads them, and says what is wrong with them. So does `1:30`, which YAML 1.1
    takes for 90."""


_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, re.compile(rf"(?!.*:)(?:{pattern.pattern})", re.VERBOSE) if tag in _NUMBERS else pattern)
        for tag, pattern in resolvers
        if tag != "tag:yaml.org,2002:timestamp"
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


@dataclass(frozen=True, slots=True)
class Document:
    """A mapping, and where it begins."""

    where: str
    fields: dict[str, Any]


def read(source: str) -> Iterator[Document]:
    """Every document of a file, or of standard input for `-`; a list counts as so many documents."""
    name = "standard input" if source == "-" else source
    try:
        text = sys.stdin.read() if source == "-" else Path(source).read_text()
    except UnicodeDecodeError as error:
        raise Fault(f"{name}: it is no text in UTF-8: {error}") from None
    except OSError as error:
        raise Fault(f"{name}: {error.strerror}") from None
    found = list(_documents(text, name))
    if not found:
        raise Fault(f"{name}: it holds no document")
    return iter(found)


def value_of(text: str) -> Any:
    """The value behind a `--set FIELD=`; what begins as an alias or a tag does is text: `*/5 * * * *`.

    yaml.YAMLError says what is wrong with it.
    """
    return text if text.startswith(tuple("*&!%@`")) else yaml.load(text, _Loader)


def check(fields: dict[str, Any], where: str) -> None:
    """Raises Fault for what JSON does not have."""
    for name, value in fields.items():
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise Fault(f"{where}: {name}: it is no JSON: {error}") from None


def read_one(source: str) -> Document:
    """The one document of a file."""
    first, *others = read(source)
    if others:
        raise Fault(f"{others[0].where}: a second document; one is needed")
    return first


def _documents(text: str, name: str) -> Iterator[Document]:
    loader = _Loader(text)
    try:
        while loader.check_node():
            node = loader.get_node()
            if node is None:
                continue
            # Mappings are read through to their ends, so that a fault is told before anything is sent.
            items = node.value if isinstance(node, yaml.SequenceNode) else [node]
            for item in items:
                where = f"{name}: line {item.start_mark.line + 1}"
                fields = loader.construct_document(item)
                if fields is None:
                    continue
                if not isinstance(fields, dict) or not all(isinstance(key, str) for key in fields):
                    raise Fault(f"{where}: it must be a mapping of fields, such as url: https://example.com/hook")
                check(fields, where)
                yield Document(where, fields)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f": line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise Fault(f"{name}{place}: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise Fault(f"{name}: {str(error).splitlines()[0]}") from None
    finally:
        loader.dispose()


def dump(*documents: Any) -> str:
    """As YAML, in the order of the fields."""
    return str(
        yaml.safe_dump_all(documents, sort_keys=False, allow_unicode=True, explicit_start=len(documents) > 1)
    )
