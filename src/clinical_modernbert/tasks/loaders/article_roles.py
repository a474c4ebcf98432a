"""Abstracts that their authors divided into labelled sections: which part of an abstract a passage is."""

import re
from collections import Counter
from collections.abc import Sequence

from pydantic import BaseModel, ValidationError

from clinical_modernbert.tasks.examples import LabelledText, Splits
from clinical_modernbert.tasks.reading.data_folder import DataFolder
from clinical_modernbert.tasks.reading.splitting import own_parts

_FILE = "articles.jsonl"
_NAMES = {
    "background": ("background", "backgrounds", "context", "introduction", "rationale"),
    "objective": ("aim", "aims", "goal", "goals", "hypothesis", "objective", "objectives", "purpose"),
    "methods": (
        *("design", "intervention", "interventions", "main outcome measure", "main outcome measures", "material", "materials"),
        *("measurements", "measures", "method", "methodology", "methods", "outcome measures", "participants", "patients"),
        *("population", "research design", "sample", "setting", "settings", "statistical analysis", "study design", "subjects"),
    ),
    "results": ("finding", "findings", "main findings", "main results", "principal findings", "result", "results"),
    "conclusions": ("clinical implications", "conclusion", "conclusions", "discussion", "implications", "interpretation", "significance"),
}
"""What sections of each role are called; the roles are the five that MEDLINE sorts such labels into."""
_ROLES = {name: role for role, names in _NAMES.items() for name in names}
_BETWEEN_NAMES = re.compile(r"[/\\&,]|\band\b")


class _Section(BaseModel):
    label: str | None
    text: str


class _Article(BaseModel):
    pmcid: str
    abstract: list[_Section]


def article_roles(folder: DataFolder) -> Splits[Sequence[LabelledText]]:
    """The role of each section of an abstract whose label says one role, such as `Methods/Design`; articles are groups."""
    counted: Counter[str] = Counter()
    found = []
    for number, item in folder.json_lines(_FILE):
        try:
            article = _Article.model_validate(item)
        except ValidationError:
            raise folder.damaged(folder.find(_FILE), "no article with `pmcid` and `abstract[{label,text}]`", f"line {number}") from None
        for position, section in enumerate(article.abstract, start=1):
            roles = _roles(section.label or "")
            if reason := _fault(section, roles):
                counted[reason] += 1
            else:
                found.append(LabelledText(f"{article.pmcid}-{position}", section.text, tuple(roles), group=article.pmcid))
    return Splits(*own_parts(found), counted)


def _roles(label: str) -> set[str]:
    """The roles that a label names; none where part of it is no known name."""
    roles = {_ROLES.get(name.strip(" .:[]"), "") for name in _BETWEEN_NAMES.split(label.lower())}
    return set() if "" in roles else roles


def _fault(section: _Section, roles: set[str]) -> str | None:
    """Why a section is no example, or None."""
    if not section.text.strip():
        return "section without text"
    if not section.label:
        return "section without a label"
    return None if len(roles) == 1 else "label of several roles" if roles else "label of no role"
