"""Public text for the benchmarks that train: notes, articles and code tables of the sample folder, or text made up in its layout."""

import csv
import gzip
import io
import json
import random
from pathlib import Path

from clinical_modernbert.sources import AnySource, Articles, Codes, Files

NOTES = ("e3c", "mtsamples")
CODES = ("icd10cm", "cms-icd9", "hpo", "disease-ontology")
"""Names of the sources below."""

_ORGANS = ("heart", "left lung", "right lung", "liver", "spleen", "kidney", "bladder", "pancreas", "stomach", "thyroid", "colon", "knee")
_FINDINGS = ("failure", "carcinoma", "abscess", "fracture", "stenosis", "infection", "haemorrhage", "atrophy", "oedema", "calculus")
_COURSES = ("acute", "chronic", "recurrent", "congenital", "unspecified")
_PLANS = ("was started on antibiotics", "underwent imaging", "was discharged home", "is followed up in two weeks", "refused surgery")


def notes_and_articles(data: Path) -> list[AnySource]:
    """Case texts of E3C, dictated reports of MTSamples, and full articles."""
    notes = data / "notes"
    return [
        Articles(data / "articles" / "articles.jsonl.gz"),
        Files(notes / "e3c_cases.jsonl.gz", name="e3c", access="open", licence="CC BY"),
        Files(notes / "mtsamples.csv.gz", name="mtsamples", text_column="transcription", access="open", licence="CC0 as stated"),
    ]


def code_tables(data: Path) -> list[AnySource]:
    """ICD-10-CM and ICD-9-CM in the paper's sentence; HPO and the Disease Ontology with all that they know; those that are there."""
    icd9, ontology = data / "codes" / "CMS32_DESC_LONG_DX.txt.gz", data / "codes" / "HumanDO.tsv.gz"
    tables: list[AnySource] = [Codes(icd9, system="cms-icd9", template="sentence")]
    if ontology.exists():
        tables += [Codes(ontology, system="disease-ontology"), Codes(system="icd10cm", template="sentence"), Codes(system="hpo")]
    return tables


def make_up(data: Path, documents: int = 300, *, people: bool = False) -> None:
    """Write made-up notes, articles and an ICD-9 table into `data`, laid out as the sample folder is: for rehearsals.

    With `people` a case begins with who it is about.
    """
    chance = random.Random(0)
    who = [f"{pronoun} is a {term}. " for pronoun, term in (("He", "man"), ("She", "woman"))] if people else [""]
    cases = [{"text": who[number % len(who)] + _note(chance, 3)} for number in range(documents)]
    articles = [
        {
            "pmcid": f"PMC{number}",
            "journal": ("BMC Cancer", "PLoS ONE", "Trials")[number % 3],
            "title": f"Outcome of {_diagnosis(chance)}: a trial",
            "abstract": [{"label": label, "text": _note(chance, 4)} for label in ("Background", "Methods", "Results")],
            "body": [{"section": name, "paragraphs": [_note(chance, 12) for _ in range(3)]} for name in ("Methods", "Results")],
        }
        for number in range(documents // 4)
    ]
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(["note_id", "transcription"])
    writer.writerows([i, f"HISTORY:\n{_note(chance, 5)}\n\nPLAN:\n{_note(chance, 2)}"] for i in range(documents))
    codes = [f"{number // 10:03d}{number % 10} {_diagnosis(chance)} of kind {number}" for number in range(10, 10 + documents)]
    _write(data / "notes" / "e3c_cases.jsonl.gz", "".join(json.dumps(case) + "\n" for case in cases))
    _write(data / "notes" / "mtsamples.csv.gz", table.getvalue())
    _write(data / "articles" / "articles.jsonl.gz", "".join(json.dumps(article) + "\n" for article in articles))
    _write(data / "codes" / "CMS32_DESC_LONG_DX.txt.gz", "".join(f"{code[:4]:<6}{code[5:]}\n" for code in codes))


def _diagnosis(chance: random.Random) -> str:
    return f"{chance.choice(_COURSES)} {chance.choice(_FINDINGS)} of the {chance.choice(_ORGANS)}"


def _note(chance: random.Random, sentences: int) -> str:
    return " ".join(
        f"The patient, {chance.randint(1, 99)}, has {_diagnosis(chance)} and {chance.choice(_PLANS)}." for _ in range(sentences)
    )


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode()))
