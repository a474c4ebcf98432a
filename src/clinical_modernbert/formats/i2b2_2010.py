"""In: notes with concepts, assertions and relations as i2b2/VA 2010 has them. Out: documents; and back. Next: `by_name`.

    c="her chest pain" 12:3 12:5||t="problem"                                              .con
    c="her chest pain" 12:3 12:5||t="problem"||a="absent"                                  .ast
    c="aspirin" 12:9 12:9||r="TrAP"||c="her chest pain" 12:3 12:5                          .rel

Each offset is a line of the `.txt`, from 1, and a word in it, from 0; the second one is the last word's. The layout is specified in the
challenge's "Annotation File Formatting" document, the task in Uzuner et al. 2011 (https://doi.org/10.1136/amiajnl-2011-000203). What
divides words we have not seen specified: here it is white space, and white space that begins a line has an empty word before it, as BLUE
reads every file of the distribution (https://github.com/ncbi-nlp/BLUE_Benchmark); where the concept's text does not fit, white space
without such a word, then each single blank. Concepts are in lower case in the files; only their words are compared, whatever their case.

In the distribution the four files of a note lie in folders side by side (`txt`, `concept`, `ast`, `rel`); here they are found by their
name below one folder, the nearest counting. An assertion is an attribute of that name, a relation goes from its first concept to its
second. Ids are the numbers of what was read: the format has none.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TypeAlias

from clinical_modernbert.formats.document import AnnotatedDocument, Attribute, Label, Relation, Span, Token, says
from clinical_modernbert.formats.refusal import OnRefusal, Refusal, Refused, part_of, stop
from clinical_modernbert.formats.text_files import document_id, files_beside, read_text, write_document

CONCEPTS, ASSERTIONS, RELATIONS = ".con", ".ast", ".rel"
SUFFIXES = (".txt", CONCEPTS, ASSERTIONS, RELATIONS)

_CONCEPT = re.compile(r'"(.*)" ([0-9]{1,9}):([0-9]{1,9}) ([0-9]{1,9}):([0-9]{1,9})')
_QUOTED = re.compile(r'"(.*)"\s*')
_BY_WHITE_SPACE, _WITHOUT_EMPTY, _BY_BLANK = r"^(?=\s)|\S+", r"\S+", r"(?<![^ ])[^ \r]*"
_Words: TypeAlias = list[list[tuple[int, int]]]
"""First and last (exclusive) character of each word of each line."""
_Key: TypeAlias = tuple[int, int] | tuple[int, int, str]
"""A concept's characters, and its type where it matters."""


def read(path: Path, on_refusal: OnRefusal = stop) -> Iterator[AnnotatedDocument]:
    """The notes below a folder, or one `.txt` with the files beside it, sorted by their path, which is their id.

    A line that cannot be read is refused; a file without its other half is refused whole. `.ast` and `.rel` may be missing.

    Raises:
        DataError: no such path, no such files.
    """
    for note in _notes(path, on_refusal):
        try:
            content = {suffix: read_text(file) for suffix, file in note.items()}
        except Refused as refused:
            on_refusal(refused.at(note[".txt"]))
        else:
            yield _document(document_id(note[".txt"], path), note, content, on_refusal)


def write(documents: Iterable[AnnotatedDocument], folder: Path, on_refusal: OnRefusal = stop) -> None:
    """Write `ID.txt` and `ID.con` for each document, `ID.ast` and `ID.rel` where it has assertions or relations, all in one folder."""
    for document in documents:
        lines: dict[str, list[str]] = {CONCEPTS: [], ASSERTIONS: [], RELATIONS: []}
        for suffix, line in _written(document, folder, on_refusal):
            lines[suffix].append(f"{line}\n")
        try:
            write_document(folder, document.id, ".txt", document.text)
            for suffix in lines:
                if lines[suffix] or suffix == CONCEPTS:
                    write_document(folder, document.id, suffix, "".join(lines[suffix]))
        except Refused as refused:
            on_refusal(part_of(folder, document)(refused.reason))


def _notes(path: Path, on_refusal: OnRefusal) -> Iterator[dict[str, Path]]:
    """The files of each note by their ending."""
    same_name: dict[str, list[Path]] = defaultdict(list)
    for file in files_beside(path, SUFFIXES):
        same_name[file.stem + file.suffix.lower()].append(file)
    for name in sorted(same_name):
        text_name = f"{name[:-4]}.txt"
        for file in same_name[name] if text_name not in same_name else ():
            on_refusal(Refusal(str(file), "the whole file", "no .txt file of its name"))
    texts = (file for name, files in same_name.items() if name.endswith(".txt") for file in files)
    for text_file in sorted(texts, key=lambda file: file.as_posix()):
        try:
            found = {suffix: _nearest(text_file, same_name.get(text_file.stem + suffix, [])) for suffix in SUFFIXES[1:]}
            if not found[CONCEPTS]:
                raise Refused("no .con file of its name")
        except Refused as refused:
            on_refusal(refused.at(text_file))
        else:
            yield {".txt": text_file, **{suffix: file for suffix, file in found.items() if file}}


def _nearest(text_file: Path, files: Sequence[Path]) -> Path | None:
    """The file that shares most folders with a text."""
    shared = [len(set(text_file.parents) & set(file.parents)) for file in files]
    if shared.count(max(shared, default=0)) > 1:
        raise Refused(f"several {files[0].suffix} files of its name are equally near")
    return files[shared.index(max(shared))] if files else None


def _document(id: str, note: Mapping[str, Path], content: Mapping[str, str], on_refusal: OnRefusal) -> AnnotatedDocument:
    text = content[".txt"]
    layouts = [_words(text, pattern) for pattern in (_BY_WHITE_SPACE, _WITHOUT_EMPTY, _BY_BLANK)]
    words = layouts[1]
    spans: list[Span] = []
    attributes: list[Attribute] = []
    relations: list[Relation] = []
    ids: dict[_Key, str] = {}

    def concept(line: str) -> None:
        place, label = _split(line, "t")
        spans.append(Span.over(text, f"T{len(spans) + 1}", label, _place(place, text, layouts)))
        start, end = spans[-1].fragments[0]
        ids.setdefault((start, end), spans[-1].id)
        ids.setdefault((start, end, label), spans[-1].id)

    def assertion(line: str) -> None:
        place, label, value = _split(line, "t", "a")
        attributes.append(Attribute(_known(ids, (*_place(place, text, layouts), label)), "assertion", value))

    def relation(line: str) -> None:
        head, label, tail = _split(line, "r", "c")
        first, second = (_known(ids, _place(end, text, layouts)) for end in (head, tail))
        relations.append(Relation.binary(label, first, second, f"R{len(relations) + 1}"))

    for suffix, parse in ((CONCEPTS, concept), (ASSERTIONS, assertion), (RELATIONS, relation)):
        for number, line in enumerate(content.get(suffix, "").removeprefix("\ufeff").split("\n"), start=1):
            try:
                if line.strip():
                    parse(line.strip())
            except Refused as refused:
                on_refusal(Refusal(str(note[suffix]), f"line {number}", refused.reason))
    tokens = tuple(Token(start, end) for line in words for start, end in line)
    edges = [0, *accumulate(len(line) for line in words if line)]
    return AnnotatedDocument(id, text, tuple(spans), tuple(relations), tuple(attributes), (), tokens, tuple(pairwise(edges)))


def _words(text: str, pattern: str) -> _Words:
    words: _Words = []
    offset = 0
    for line in text.split("\n"):
        words.append([(offset + word.start(), offset + word.end()) for word in re.finditer(pattern, line)])
        offset += len(line) + 1
    return words


def _split(line: str, *keys: str) -> list[str]:
    """The concept before the first `||KEY=` and what stands behind each, read from the end, as a concept's text may hold anything."""
    parts: list[str] = []
    for key in reversed(keys):
        line, mark, part = line.rpartition(f"||{key}=")
        quoted = _QUOTED.fullmatch(part)
        if not mark or not (quoted or key == "c"):
            raise Refused(f'no `||{key}="..."`')
        parts.append(quoted[1] if quoted else part)
    return [line.removeprefix("c="), *reversed(parts)]


def _place(written: str, text: str, layouts: Sequence[_Words]) -> tuple[int, int]:
    """The characters of a concept."""
    match = _CONCEPT.fullmatch(written)
    if not match:
        raise Refused('not `c="TEXT" LINE:WORD LINE:WORD`')
    first_line, first_word, last_line, last_word = (int(number) for number in match.groups()[1:])
    for words in layouts if first_line and last_line else ():
        try:
            start, end = words[first_line - 1][first_word][0], words[last_line - 1][last_word][1]
        except IndexError:
            continue
        if start < end and not text[start].isspace() and says(text, [(start, end)], match[1], ignore_case=True):
            return start, end
    raise Refused("its text is not what stands at its line and words")


def _known(ids: Mapping[_Key, str], key: _Key) -> str:
    if key not in ids:
        raise Refused("no such concept in the .con file")
    return ids[key]


def _written(document: AnnotatedDocument, folder: Path, on_refusal: OnRefusal) -> Iterator[tuple[str, str]]:
    """The lines of all files, each behind the ending of its own."""
    lines = enumerate(_words(document.text, _BY_WHITE_SPACE), start=1)
    words = [(place, f"{line}:{word}") for line, places in lines for word, place in enumerate(places) if place[0] < place[1]]
    starts, ends = ({place[edge]: written for place, written in words} for edge in (0, 1))
    placed: dict[str, tuple[str, str]] = {}
    owners: dict[str | tuple[str, str], str] = {}
    for span in document.spans:
        if len(span.fragments) == 1 and span.start in starts and span.end in ends and _is_plain(span.label):
            place = f'c="{" ".join(span.text.split()).lower()}" {starts[span.start]} {ends[span.end]}'
            placed[span.id] = place, span.label
            owners.setdefault(place, span.id)
            owners.setdefault((place, span.label), span.id)
    for item in document.annotations():
        try:
            yield _line(item, placed, owners)
        except Refused as refused:
            on_refusal(part_of(folder, document, item)(refused.reason))


def _line(
    item: Label | Span | Attribute | Relation, placed: Mapping[str, tuple[str, str]], owners: Mapping[str | tuple[str, str], str]
) -> tuple[str, str]:
    """One line; `placed` has each concept as it is written and its type, `owners` the concept that a reader would take it for."""
    if isinstance(item, Span):
        if item.id not in placed:
            raise Refused("discontinuous, does not begin and end with a word, or its type holds a quote, bar or line break")
        place, label = placed[item.id]
        return CONCEPTS, f'{place}||t="{label}"'
    if isinstance(item, Attribute) and (item.kind, item.name) == ("attribute", "assertion"):
        if item.target not in placed or not _is_plain(item.value) or owners[placed[item.target]] != item.target:
            raise Refused("its concept is not written or not the only one at its words, or it holds a quote, bar or line break")
        place, label = placed[item.target]
        return ASSERTIONS, f'{place}||t="{label}"||a="{item.value}"'
    if isinstance(item, Relation) and item.is_binary and item.between == "spans":
        if any(id not in placed or owners[placed[id][0]] != id for id in item.named()) or not _is_plain(item.label):
            raise Refused("a concept is not written or not the only one at its words, or its type holds a quote, bar or line break")
        return RELATIONS, f'{placed[item.head][0]}||r="{item.label}"||{placed[item.tail][0]}'
    raise Refused("i2b2 2010 has concepts, their assertions and relations of two")


def _is_plain(value: str) -> bool:
    return not set(value) & set('"|\r\n')
