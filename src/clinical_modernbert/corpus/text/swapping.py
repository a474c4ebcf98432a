"""Text -> the same text about the other group: every term of a dimension swapped, the grammar kept. Pure functions, for English alone."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from typing import Literal

import yaml
from pydantic import Field

from clinical_modernbert.settings import Settings, parse

Dimension = Literal["sex", "ethnicity"]
Term = tuple[str, str]
Edit = tuple[int, int, str]
"""Start and end of what is replaced, and what stands there instead."""

_PRONOUN = r"(?<![\w/-])(?:his|hers?|him)\b(?![/-])"
_AGE = (
    r"\b\d{1,3}[ -]?(?:yo|y/o|y\.o\.|yr[ -]old|years?[ -]old),?[ -]"
    r"|(?:^|\b(?:an?|pt) )(?!(?:9[5-9]|10\d)[MF])\d{1,3}"
    r"|\b(?:Sex|Gender): *"
)
"""What stands before a letter for the sex; a number alone may be a temperature, and so may one from 95 to 109 behind "a"."""
_SHORT = 3
"""Capitals of so many letters are an abbreviation (HE, DAD) unless a word beside it has capitals too."""
_NOT_A_PRONOUN = re.compile(r"(?i:bundle of )His\b|\bHis(?=[ -](?:bundle|Purkinje))|\bHER(?=[ -]?\d)")
"""The bundle of His, and the receptor HER2."""
_NEXT_WORD, _LAST_WORD = re.compile(r"[ \n\t]+([A-Za-z]+)"), re.compile(r"\b([A-Za-z]+)[ \n\t]+$")
_LONGEST = 40
"""Characters that are looked back for a word."""


class Swaps(Settings):
    """The terms of one dimension; see `swaps.yaml`."""

    why: str = Field(min_length=1)
    """Why it is looked at."""
    review: str = Field(min_length=1)
    """Who should review it."""
    pairs: list[Term] = Field(min_length=1)
    """Terms that are swapped for each other."""
    one_way: list[Term] = Field(default_factory=list)
    """Terms, and what stands for them in the swapped text; that comes back as another term."""
    adjectives: list[Term] = Field(default_factory=list)
    """Terms that are swapped only before one of `people`."""
    people: list[str] = Field(default_factory=list)
    """Words for a person."""
    letters: Term | None = None
    """Letters that are swapped after an age or behind "Sex:"."""
    in_names: list[str] = Field(default_factory=list)
    """Terms that stay where they are part of a name."""
    after_object: list[str] = Field(default_factory=list)
    """Words that no noun phrase goes on with: "her" before one of them is an object, "his" stands alone. Empty: no pronouns."""
    skip: list[str] = Field(default_factory=list)
    """How words begin that no swapped text may have."""

    @cached_property
    def skipped(self) -> "re.Pattern[str] | None":
        """What a text is left alone for."""
        return re.compile(rf"\b(?:{'|'.join(map(re.escape, self.skip))})", re.IGNORECASE) if self.skip else None

    @cached_property
    def other(self) -> Mapping[str, tuple[str, int]]:
        """Term in lower case -> what stands for it, and on which side it is: 0 for the first of its pair, 1 for the second."""
        both = [*self.pairs, *self.adjectives]
        side = {term.lower(): number for pair in both for number, term in enumerate(pair)}
        one_way = {term.lower(): (other, 1 - side[other.lower()]) for term, other in self.one_way}
        return one_way | {pair[number].lower(): (pair[1 - number], number) for pair in both for number in (0, 1)}

    @cached_property
    def pattern(self) -> "re.Pattern[str]":
        """A term, with an article that may have to change before it."""
        plain = [term for pair in (*self.pairs, *self.one_way) for term in pair]
        terms = _either(plain)
        if self.adjectives:
            terms += rf"|(?:{_either([term for pair in self.adjectives for term in pair])})(?= (?:{_either(self.people)})\b)"
        found = rf"(?:\b(?P<article>an?)[ \n])?\b(?P<term>{terms})\b(?!-made)"
        if self.letters:
            found += rf"|(?:{_AGE})(?P<letter>[{''.join(self.letters)}])\b"
        if self.after_object:
            found += rf"|(?P<pronoun>{_PRONOUN})"
        return re.compile(found, re.IGNORECASE | re.MULTILINE)


class Dictionary(Settings):
    """All dimensions that can be swapped, and a control that is no group."""

    sex: Swaps
    """Male and female."""
    ethnicity: Swaps
    """White and black."""
    neutral: Swaps
    """Words that mean the same."""

    def of(self, dimension: Dimension) -> Swaps:
        """The terms of one dimension."""
        return {"sex": self.sex, "ethnicity": self.ethnicity}[dimension]


@dataclass(frozen=True)
class Swapped:
    """A swapped text.

    Attributes:
        edits: every change, in characters of the first text, in order.
        sides: how many terms were of the first and of the second side, such as male and female.
    """

    text: str
    edits: tuple[Edit, ...]
    sides: tuple[int, int]

    def moved(self, place: int) -> int:
        """Where the character at `place` of the first text stands in this one; within a changed term, where that begins."""
        shift = 0
        for start, end, replacement in self.edits:
            if place < end:
                return start + shift if place > start else place + shift
            shift += len(replacement) - (end - start)
        return place + shift


@cache
def dictionary() -> Dictionary:
    """The terms of `swaps.yaml`."""
    text = (files(__package__) / "swaps.yaml").read_text(encoding="utf-8")
    return parse(Dictionary, yaml.safe_load(text), where="swaps.yaml")


def is_left_alone(text: str, swaps: Swaps) -> bool:
    """Whether the text speaks of what makes no sense swapped."""
    return bool(swaps.skipped and swaps.skipped.search(text))


def swap(text: str, swaps: Swaps) -> Swapped:
    """The text with every term swapped; case, articles and possessives follow. A text without terms comes back as it is.

    Titles are swapped, names stay. Swapping twice gives the first text again unless it has a term of `one_way` or a pronoun whose place the
    next word does not tell ("told him news" comes back as "told his news").

    Example:
        >>> swap("Mr. Lee hurt himself. His wife, a nurse, drove him to us.", dictionary().sex).text
        'Ms. Lee hurt herself. Her husband, a nurse, drove her to us.'
    """
    kept = {place for found in _NOT_A_PRONOUN.finditer(text) for place in range(*found.span())}
    edits: list[Edit] = []
    sides = [0, 0]
    for found in swaps.pattern.finditer(text):
        if found.start() in kept:
            continue
        changes, side = _edit(text, found, swaps)
        if changes:
            sides[side] += 1
            edits += changes
    parts, done = [], 0
    for start, end, replacement in edits:
        parts += [text[done:start], replacement]
        done = end
    return Swapped("".join([*parts, text[done:]]), tuple(edits), (sides[0], sides[1]))


def _edit(text: str, found: "re.Match[str]", swaps: Swaps) -> tuple[list[Edit], int]:
    """The changes of one term and of the article before it, and its side; no changes where it stays."""
    groups = found.groupdict()
    if letter := groups.get("letter"):
        assert swaps.letters is not None
        side = swaps.letters.index(letter.upper())
        return [(*found.span("letter"), swaps.letters[1 - side])] if letter.isupper() else [], side
    if pronoun := groups.get("pronoun"):
        other, side = _pronoun(text, found.end(), pronoun.lower(), swaps), int(pronoun.lower().startswith("her"))
        return [] if _is_abbreviation(text, found, pronoun) else [(*found.span("pronoun"), _like(pronoun, other))], side
    term, article = groups["term"], groups["article"]
    if _is_in_name(text, found, term, swaps) or _is_abbreviation(text, found, term):
        return [], 0
    other, side = swaps.other[" ".join(term.lower().split())]
    changes = [(*found.span("term"), _like(term, other))]
    if article is not None:
        wanted = _like(article[0], "an" if other[0].lower() in "aeiou" else "a", is_word=False)
        changes = [(*found.span("article"), wanted), *changes] if wanted != article else changes
    return changes, side


def _is_abbreviation(text: str, found: "re.Match[str]", term: str) -> bool:
    """Whether short capitals stand between words that have none."""
    beside = (_NEXT_WORD.match(text, found.end()), _LAST_WORD.search(text, max(0, found.start() - _LONGEST), found.start()))
    return len(term) <= _SHORT and term.isupper() and not any(word and word[1].isupper() for word in beside)


def _is_in_name(text: str, found: "re.Match[str]", term: str, swaps: Swaps) -> bool:
    """Titles are terms only as titles ("MS" and "MR" are diseases, "miss" is a verb); a term may be part of a name."""
    start, end = found.span("term")
    following = text[end : end + 6]
    if term.lower() in ("mr", "ms", "mrs", "miss"):
        return not (term.istitle() and re.match(r"\.?[ \n](?:[A-Z]|___|\[)", following))
    if re.search(r"(?:Dr|Mr|Ms|Mrs|Prof)\. ?$", text[max(0, start - 6) : start]):
        return True
    name = re.match(r"(?:['\u2019]s)? [A-Z][a-z]", text[end : end + 5])
    return term.istitle() and term.lower() in swaps.in_names and bool(name)


def _pronoun(text: str, end: int, term: str, swaps: Swaps) -> str:
    following = _NEXT_WORD.match(text, end)
    stands_alone = following is None or following[1].lower() in swaps.after_object
    if term == "his":
        return "hers" if stands_alone else "her"
    if term == "her":
        return "him" if stands_alone else "his"
    return "her" if term == "him" else "his"


def _like(term: str, other: str, *, is_word: bool = True) -> str:
    """`other` in the case of `term`."""
    if is_word and term.isupper():
        return other.upper()
    return other[0].upper() + other[1:] if term[0].isupper() else other


def _either(terms: list[str]) -> str:
    return "|".join(re.escape(term) for term in sorted(set(terms), key=len, reverse=True))
