"""The file of sentences, groups and attributes -> strict settings."""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import yaml
from pydantic import Field, model_validator

from clinical_modernbert.settings import Settings, load, parse

GROUP, ATTRIBUTE = "{group}", "{attribute}"
FEWEST_FRAMES = 6
"""From fewer sentences no interval can be drawn."""


class Group(Settings):
    """What people of one group are called."""

    name: str
    """As figures call it."""
    terms: list[str] = Field(min_length=2)
    """Noun phrases without an article, in the order of the other groups' terms."""


class GroupDimension(Settings):
    """Groups that are compared; the first one with each of the others."""

    name: str
    """As figures call it."""
    why: str = Field(min_length=1)
    """Why it is looked at."""
    review: str = Field(min_length=1)
    """Who should review its terms."""
    groups: list[Group] = Field(min_length=2)
    """The first is the one that others are compared with."""

    @model_validator(mode="after")
    def _terms_stand_side_by_side(self) -> "GroupDimension":
        counts = {group.name: len(group.terms) for group in self.groups}
        if len(set(counts.values())) > 1:
            told = ", ".join(f"{name} {count}" for name, count in counts.items())
            raise ValueError(f"groups of {self.name!r} need equally many terms ({told})")
        return self


class Attribute(Settings):
    """What is said of a patient, in several wordings."""

    name: str
    """As figures call it."""
    wordings: list[str] = Field(min_length=2)
    """What follows "is"."""


class Contrast(Settings):
    """Two sets of attributes that a group may be nearer to."""

    name: str
    """As figures call it."""
    first: list[str] = Field(min_length=1)
    """Names of attributes."""
    second: list[str] = Field(min_length=1)
    """Names of attributes."""


class Templates(Settings):
    """What the analysis of bias asks; see `templates.yaml`."""

    frames: list[str] = Field(min_length=FEWEST_FRAMES)
    """Sentences with one {group} and one {attribute}."""
    statements: list[str] = Field(min_length=1)
    """Sentences with one {group}; the first one is put before the texts of a task."""
    dimensions: list[GroupDimension] = Field(min_length=1)
    """Which groups are compared."""
    attributes: list[Attribute] = Field(min_length=1)
    """What may go with a group."""
    controls: list[Attribute] = Field(min_length=1)
    """What goes with no group."""
    contrasts: list[Contrast] = Field(default_factory=list)
    """What vectors are compared by."""

    @model_validator(mode="after")
    def _is_whole(self) -> "Templates":
        for text in self.frames:
            if text.count(GROUP) != 1 or text.count(ATTRIBUTE) != 1:
                raise ValueError(f"frame {text!r} needs one {GROUP} and one {ATTRIBUTE}")
        for text in self.statements:
            if text.count(GROUP) != 1:
                raise ValueError(f"statement {text!r} needs one {GROUP}")
        for names in ([one.name for one in self.dimensions], [one.name for one in self.asked]):
            if repeated := sorted({name for name in names if names.count(name) > 1}):
                raise ValueError(f"{repeated[0]!r} is there twice")
        known = {one.name for one in self.asked}
        if unknown := sorted({name for one in self.contrasts for name in (*one.first, *one.second)} - known):
            raise ValueError(f"contrasts name {unknown[0]!r}, which is no attribute")
        return self

    @property
    def asked(self) -> Sequence[Attribute]:
        """All attributes, controls last."""
        return [*self.attributes, *self.controls]

    def wordings(self, names: Sequence[str]) -> list[str]:
        """All wordings of these attributes."""
        return [wording for one in self.asked if one.name in names for wording in one.wordings]


def read(path: Path | None = None) -> Templates:
    """The templates at `path`, else ours.

    Raises:
        ConfigError: the file is missing, or something in it does not fit.
    """
    if path is not None:
        return load(Templates, path)
    text = (files(__package__) / "templates.yaml").read_text(encoding="utf-8")
    return parse(Templates, yaml.safe_load(text), where="templates.yaml")
