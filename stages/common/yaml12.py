"""Read YAML as DVC does, so that what trains is what DVC records.

PyYAML follows YAML 1.1, where ``012`` is ten, ``1:30`` is ninety, ``off`` is false and ``1e-05`` is
text. DVC follows YAML 1.2, by ruamel.yaml. The loader here keeps PyYAML's parser, with the patterns
of ruamel.yaml for numbers and booleans: those of YAML 1.2, and 0b and underscores as well. It
refuses what a parameter file has no use for: duplicate keys, anchors, aliases and tags, and
documents too long or too deep to be written by hand.

References
----------
https://yaml.org/spec/1.2.2/#103-core-schema
"""

import re
from collections.abc import Hashable
from typing import Any

import yaml

MAX_CHARACTERS = 1_000_000
MAX_NUMBER = 100
"""Characters of the longest number: Python takes seconds to read a very long one."""

BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
INT = re.compile(r"[-+]?(0b[01_]+|0o[0-7_]+|0x[0-9a-fA-F_]+|[0-9][0-9_]*)")
FLOAT = re.compile(
    r"[-+]?[0-9][0-9_]*(\.[0-9_]*)?([eE][-+]?[0-9]+)?"
    r"|[-+]?\.[0-9_]+([eE][-+][0-9]+)?"
    r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
)
NUMBER_STARTS = list("-+.0123456789")
REPLACED = tuple(f"tag:yaml.org,2002:{kind}" for kind in ("bool", "int", "float"))
BASES = {"0b": 2, "0o": 8, "0x": 16}


class YamlError(ValueError):
    """A document that cannot be read; the message is one short line."""


def parse_yaml(text: str) -> Any:
    """Return the content of a document, None for an empty one.

    Raises
    ------
    YamlError
        If it is not valid YAML 1.2, or holds what is refused here.
    """
    if len(text) > MAX_CHARACTERS:
        raise YamlError(f"has {len(text):,} characters, more than {MAX_CHARACTERS:,}")
    try:
        return yaml.load(text, Yaml12Loader)
    except RecursionError as error:
        raise YamlError("is not valid YAML: nested too deeply") from error
    except yaml.MarkedYAMLError as error:
        problem = error.problem or error.context or "wrong syntax"
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise YamlError(f"is not valid YAML: {line}{_short(problem)}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise YamlError(f"is not valid YAML: {_short(error)}") from error


class Yaml12Loader(yaml.SafeLoader):
    """PyYAML's safe loader with the numbers and booleans of YAML 1.2."""

    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [(tag, pattern) for tag, pattern in resolvers if tag not in REPLACED]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Refuse tags, anchors and aliases; a few aliases can make a document of gigabytes."""
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if event.anchor or getattr(event, "tag", None):
            raise yaml.MarkedYAMLError(
                problem="anchors, aliases and tags are not allowed here",
                problem_mark=event.start_mark,
            )
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Refuse duplicate keys, of which PyYAML would keep the last."""
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"duplicate key {key.value!r}; keep one", problem_mark=key.start_mark
                )
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else "")
        return super().construct_mapping(node, deep)

    def construct_number(self, node: yaml.ScalarNode) -> int | float:
        """Return the number that a scalar spells, in any of its bases."""
        text = node.value.replace("_", "")
        if len(text) > MAX_NUMBER:
            raise yaml.MarkedYAMLError(
                problem=f"a number of {len(text)} characters", problem_mark=node.start_mark
            )
        if not INT.fullmatch(text):
            return float(self.construct_yaml_float(node))
        sign, digits = (-1 if text[0] == "-" else 1), text.lstrip("+-")
        base = BASES.get(digits[:2], 10)
        return sign * int(digits[0 if base == 10 else 2 :], base)


for _tag, _pattern, _starts in (
    (REPLACED[0], BOOL, list("tTfF")),
    (REPLACED[1], INT, NUMBER_STARTS),
    (REPLACED[2], FLOAT, NUMBER_STARTS),
):
    # PyYAML asks `pattern.match`, which is content with a beginning.
    Yaml12Loader.add_implicit_resolver(_tag, re.compile(f"({_pattern.pattern})$"), _starts)
for _tag in REPLACED[1:]:
    Yaml12Loader.add_constructor(_tag, Yaml12Loader.construct_number)


def _short(problem: object) -> str:
    return f"{' '.join(str(problem).split()):.200}"
