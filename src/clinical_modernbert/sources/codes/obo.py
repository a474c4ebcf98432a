"""In: an ontology as an OBO file (HPO, Disease Ontology). Out: an `Entry` for each term. Next: `Codes`."""

import re
from collections.abc import Iterator

from clinical_modernbert.errors import DataError
from clinical_modernbert.sources.codes.entry import Entry
from clinical_modernbert.sources.opening import Location, numbered_lines

_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"\s*(\w*)')
_TOPS = frozenset(("HP:0000118", "HP:0000001", "DOID:4"))
_SAME_MEANING = frozenset(("EXACT", "RELATED"))

Term = dict[str, list[str]]


def read(path: Location, system: str) -> Iterator[Entry]:
    """Every term with its definition, parents, and synonyms of the scopes EXACT and RELATED (a broader or narrower one is none).

    `chapter` is the branch of the ontology on the way up by each term's first parent. Holds the file in memory.
    """
    terms = {term["id"][0]: term for term in _terms(path) if term.get("id")}
    for code, term in terms.items():
        name = _unescape(term.get("name", [""])[0])
        synonyms = (_QUOTED.match(line) for line in term.get("synonym", ()))
        definition = _QUOTED.match(term.get("def", [""])[0])
        yield Entry(
            system=system,
            code=code,
            name=name,
            synonyms=tuple(dict.fromkeys(_unescape(s[1]) for s in synonyms if s and s[2] in _SAME_MEANING and s[1] != name)),
            definition=_unescape(definition[1]) if definition else "",
            parents=tuple((parent, _name(terms, parent)) for parent in _parents(term)),
            chapter=_branch(terms, code),
            obsolete=term.get("is_obsolete") == ["true"],
        )


def _terms(path: Location) -> Iterator[Term]:
    term: Term | None = None
    for number, line in numbered_lines(path):
        try:
            tag, _, value = line.decode("utf-8").partition(": ")
        except UnicodeDecodeError:
            raise DataError(f"not UTF-8 ({path}, line {number}). Fetch the file again.") from None
        if tag.startswith("["):
            if term is not None:
                yield term
            term = {} if tag == "[Term]" else None
        elif term is not None and value:
            term.setdefault(tag, []).append(value)
    if term is not None:
        yield term


def _parents(term: Term) -> list[str]:
    return [line.split(" ", 1)[0] for line in term.get("is_a", ())]


def _name(terms: dict[str, Term], code: str) -> str:
    return _unescape(terms.get(code, {}).get("name", [""])[0])


def _branch(terms: dict[str, Term], code: str) -> str:
    seen: set[str] = set()
    while code not in seen:
        seen.add(code)
        parents = _parents(terms.get(code, {}))
        if not parents or code in _TOPS:
            return ""
        if not _TOPS.isdisjoint(parents):
            return _name(terms, code)
        code = parents[0]
    return ""


def _unescape(text: str) -> str:
    return re.sub(r"\\(.)", lambda found: "\n" if found[1] == "n" else found[1], text)
