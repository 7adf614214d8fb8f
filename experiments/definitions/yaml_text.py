"""YAML without surprises: no aliases, tags, duplicate keys, deep nesting or huge files; errors name the line."""

import re
from typing import Any

import yaml

from experiments.definitions.errors import DefinitionProblem, Violation

#: A definition is a page or two of text; anything larger is a mistake or an attack.
MAX_BYTES = 256 * 1024
MAX_DEPTH = 20


#: Escapes such as \ud800 name one half of a pair; no text holds one, and no database stores it.
HALVES = re.compile("[\ud800-\udfff]")


class _PlainLoader(yaml.SafeLoader):
    """The safe loader less what a definition has no use for."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.MarkedYAMLError(problem="aliases (*name) are not allowed", problem_mark=self._mark())
        if getattr(self.peek_event(), "tag", None) is not None:  # type: ignore[no-untyped-call]
            # A value is what it looks like: what a tag makes of one that it does not fit, its reader does not check.
            raise yaml.MarkedYAMLError(problem="tags (!!name) are not allowed", problem_mark=self._mark())
        self.depth += 1
        if self.depth > MAX_DEPTH:
            problem = f"nested deeper than {MAX_DEPTH} levels"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=self._mark())
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1

    def construct_scalar(self, node: Any) -> Any:
        value = super().construct_scalar(node)
        if HALVES.search(value):
            raise yaml.MarkedYAMLError(problem="half of a character is escaped here", problem_mark=node.start_mark)
        return value

    def _mark(self) -> yaml.Mark:
        mark: yaml.Mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        return mark

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            if key is None:
                raise yaml.MarkedYAMLError(problem="a key must be a word", problem_mark=key_node.start_mark)
            if key in seen:
                raise yaml.MarkedYAMLError(problem=f"the key `{key}` stands twice", problem_mark=key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def read_mapping(content: bytes, file: str) -> dict[str, Any]:
    """Return the mapping a YAML file holds. Raises DefinitionProblem naming the line of what is wrong."""
    if len(content) > MAX_BYTES:
        raise _problem(file, f"the file has {len(content):,} bytes; a definition has at most {MAX_BYTES:,}")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _problem(file, f"not UTF-8 text (byte {error.start})") from error
    try:
        # The loader is a subclass of SafeLoader: it builds plain values only.
        loaded = yaml.load(text, Loader=_PlainLoader)  # noqa: S506  # nosec B506
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise _problem(file, f"{where}not valid YAML: {error.problem}") from error
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError) as error:
        first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise _problem(file, f"not valid YAML: {first_line}") from error
    if not isinstance(loaded, dict):
        found = "nothing" if loaded is None else f"a {type(loaded).__name__}"
        raise _problem(file, f"a definition is a mapping of keys to values; found {found}")
    return {str(key): value for key, value in loaded.items()}


def _problem(file: str, message: str) -> DefinitionProblem:
    return DefinitionProblem(file, [Violation("", message)])
