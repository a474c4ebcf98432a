import subprocess
import sys
from pathlib import Path

import pytest

from clinical_modernbert.errors import ConfigError
from clinical_modernbert.settings import Settings, parse
from clinical_modernbert.sources import AnySource, Articles, Codes, Files, MimicNotes, PubMed, Source

LISTED = [
    {"type": "pubmed", "path": "baseline/"},
    {"type": "mimic-notes", "path": "mimic-iv-note/"},
    {"type": "articles", "path": "pmc/"},
    {"type": "codes", "system": "icd10cm"},
    {"type": "files", "path": "notes.jsonl.gz", "access": "open"},
]


class Listing(Settings):
    sources: list[AnySource]


def test_a_corpus_file_tells_sources_apart_by_type() -> None:
    sources = parse(Listing, {"sources": LISTED}).sources
    assert [type(source) for source in sources] == [PubMed, MimicNotes, Articles, Codes, Files]
    assert [source.access for source in sources] == ["open", "credentialed", "open", "open", "open"]


def test_every_source_survives_yaml() -> None:
    import yaml

    listing = parse(Listing, {"sources": LISTED})
    assert parse(Listing, yaml.safe_load(listing.to_yaml())) == listing


def test_an_unknown_setting_of_a_source_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'text_column'"):
        parse(Listing, {"sources": [{"type": "files", "path": "x.jsonl", "text_colum": "note"}]})


def test_a_path_alone_makes_a_source() -> None:
    sources: list[Source] = [PubMed(Path("baseline")), MimicNotes(Path("note")), Articles(Path("pmc")), Files(Path("notes"))]
    assert [source.name for source in sources] == ["pubmed", "mimic-notes", "articles", "files"]
    assert all(source.licence for source in sources)


def test_importing_sources_loads_no_parser() -> None:
    code = "import sys, clinical_modernbert.sources; print([m for m in ('lxml', 'polars', 'torch', 'numpy') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
