"""In: a template's name, or the path of a user's own. Out: what makes a text of an entry. Next: `entry`, `Codes`.

A template is a text file with placeholders in braces, such as `Part of: {parents}`. A line with a placeholder that has no value is left
out; `{{` and `}}` are braces. It is filled in and never executed. The files in `templates/` are known by their names.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from string import Formatter
from types import MappingProxyType

from clinical_modernbert.errors import ConfigError
from clinical_modernbert.sources.opening import numbered_lines

PLACEHOLDERS: Mapping[str, str] = MappingProxyType(
    {
        "kind": "what the code is, such as `ICD 10 code` or `HPO term`",
        "system": "name of the coding system, such as `ICD-10-CM`",
        "concept": "system and code, such as `ICD-10-CM:E11.9`",
        "code": "the code",
        "name": "its description",
        "chapter": "the chapter, section or branch that it stands in",
        "parents": "descriptions and codes of what it is part of",
        "synonyms": "its other names",
        "definition": "what it means",
        "block": "the block of ICD-10-CM that it stands in",
        "includes": "ICD-10-CM's notes of this kind, as the following ones",
        "excludes": "`Excludes1` and `Excludes2`",
        "code_first": "`Code first`",
        "code_also": "`Code also`",
        "use_additional": "`Use additional code`",
        "note": "`Note`",
    }
)
"""What a template may name. Several values of one kind are joined by semicolons."""


@dataclass(frozen=True, slots=True)
class Template:
    """Lines as they stand in the file, each with the placeholders in it, all of them known ones."""

    lines: tuple[tuple[str, tuple[str, ...]], ...]

    def fill(self, values: Mapping[str, str]) -> str:
        """The text with `values` in place of the placeholders; an empty value leaves its line out."""
        return "\n".join(line.format_map(values) for line, names in self.lines if all(map(values.__getitem__, names)))


def is_built_in(template: str) -> bool:
    """Whether it is a name, not the path of a file."""
    return template in _built_in()


def load_template(template: str) -> Template:
    """The built-in template of this name, else the one in the file of this path.

    Raises:
        ConfigError: there is neither, or the file holds an unknown placeholder or a single brace.
    """
    known = _built_in()
    if template in known:
        return known[template]
    path = Path(template)
    if not path.is_file():
        raise ConfigError(f"no such template ({template}). Name {' or '.join(known)}, or give the path of a text file.")
    return Template(tuple(_parse(numbered_lines(path), template)))


@cache
def _built_in() -> Mapping[str, Template]:
    found = sorted((files(__package__) / "templates").iterdir(), key=lambda file: file.name)
    return MappingProxyType(
        {
            file.name.removesuffix(".txt"): Template(tuple(_parse(enumerate(file.read_bytes().splitlines(), start=1), file.name)))
            for file in found
        }
    )


def _parse(lines: Iterable[tuple[int, bytes]], where: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    for number, raw in lines:
        try:
            line = raw.decode("utf-8")
            pieces = list(Formatter().parse(line))
        except UnicodeDecodeError:
            raise ConfigError(f"not UTF-8 ({where}, line {number}). Save the template as UTF-8.") from None
        except ValueError:
            raise ConfigError(f"a brace that stands alone ({where}, line {number}). Write {{{{ or }}}} for a brace.") from None
        for _, name, specification, conversion in pieces:
            if name is not None and (name not in PLACEHOLDERS or specification or conversion):
                raise ConfigError(f"no placeholder of this name ({where}, line {number}). There are {', '.join(PLACEHOLDERS)}.")
        yield line, tuple(name for _, name, _, _ in pieces if name)
