import csv
import gzip
import io
import itertools
import random
import time
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinical_modernbert.corpus.text.normalise import normalise
from clinical_modernbert.corpus.text.sections import Section, sections
from clinical_modernbert.sources import Articles, PubMed

DISCHARGE = """
Name:  ___                     Unit No:   ___

Admission Date:  ___              Discharge Date:   ___

Date of Birth:  ___             Sex:   F

Service: MEDICINE

Allergies:
Penicillins

Attending: ___.

Chief Complaint:
Dyspnea

Major Surgical or Invasive Procedure:
None

History of Present Illness:
Ms. ___ came in with dyspnea.  Vitals: T 98, BP 120/80.

Past Medical History:
1. COPD
2. Social: lives alone

Physical Exam:
ADMISSION PHYSICAL EXAM:
HEENT: clear
Lungs: wheezes

Pertinent Results:
WBC-5.6 RBC-4.3

Brief Hospital Course:
ACUTE ISSUES:
# COPD: steroids.

Medications on Admission:
1. Albuterol

Discharge Medications:
1. Prednisone

Discharge Disposition:
Home

Followup Instructions:
___
"""


def titles(text):
    return [section.title for section in sections(text)]


def test_the_sections_of_a_discharge_summary():
    assert titles(DISCHARGE) == [
        "allergies",
        "chief complaint",
        "procedure",
        "history of present illness",
        "past medical history",
        "physical examination",
        "physical examination",
        "pertinent results",
        "hospital course",
        "acute issues",
        "admission medications",
        "discharge medications",
        "discharge disposition",
        "follow-up",
    ]


def test_a_section_runs_from_its_header_to_the_next():
    text = "Seen today.\nHPI: cough\n  PLAN:\nrest"
    assert sections(text) == [Section("history of present illness", 12, 25), Section("plan", 25, len(text))]
    assert [text[section.start : section.end] for section in sections(text)] == ["HPI: cough\n  ", "PLAN:\nrest"]


def test_lines_of_the_mtsamples_set_are_joined_by_commas():
    text = "SUBJECTIVE:,  A cough.,MEDICATIONS: , Aspirin.,OBJECTIVE:,Vitals:  Stable.,HEENT:  Clear.,ASSESSMENT:,  Cold.,PLAN:,1.  Rest."
    assert titles(text) == ["subjective", "medications", "objective", "assessment", "plan"]


def test_lines_in_capitals_above_text_are_headers():
    assert titles("CHIEF COMPLAINT\n\nA cough.\n\nREVIEW OF SYSTEMS\n\n• Cough.\n\nGENETIC TESTING RESULTS\n\nNone.") == [
        "chief complaint",
        "review of systems",
        "genetic testing results",
    ]


def test_a_note_in_capitals_is_not_all_headers():
    assert titles("PATIENT WAS SEEN TODAY\nNO FEVER OR CHILLS\nCONTINUE PRESENT CARE\n") == []


@pytest.mark.parametrize("label", ["METHODS", "Methods", "PATIENTS AND METHODS", "Materials and Methods"])
def test_labels_of_abstracts(label):
    assert titles(f"A title: with a colon\n\nBACKGROUND: Much.\n{label}: We did.\nRESULTS: It was.\nCONCLUSIONS: So.") == [
        "background",
        "methods",
        "results",
        "conclusions",
    ]


def test_markdown_headers():
    assert titles("## Assessment\nok\n**Plan:** rest\n**Plan**: rest") == ["assessment", "plan", "plan"]


@pytest.mark.parametrize(
    "text",
    [
        "BP: 120/80",
        "Lungs: clear",
        "DATE OF ADMISSION: ___",
        "We plan: rest",
        "The results: none",
        "the plan:",
        "Allergies to dust are known",
        "WBC: 5",
        "RIGHT: yes",
    ],
)
def test_lines_of_text_are_no_headers(text):
    assert titles(f"Seen.\n{text}\nmore") == []


@given(st.text(st.sampled_from("Plan:HX\n ,*#a"), max_size=60))
def test_sections_lie_behind_one_another_inside_of_the_text(text):
    found = sections(text)
    assert all(section.start < section.end <= len(text) and text[section.start].isupper() for section in found)
    assert all(one.end == other.start for one, other in itertools.pairwise(found))


@pytest.mark.timeout(20)
@pytest.mark.parametrize("piece", ["A", "A ", "\nA", "\n", ",A", "\nPLAN", "\n \n", "\n# ", "A:\n", "\nAB CD\n \n"])
def test_hostile_text_takes_seconds_at_most(piece):
    began = time.process_time()
    sections(piece * (1_000_000 // len(piece)))
    assert time.process_time() - began < 10


def test_most_dictated_reports_have_sections_and_few_titles_are_rare(shared_data):
    with gzip.open(shared_data / "notes" / "mtsamples.csv.gz", "rt", encoding="utf-8") as file:
        texts = sorted({normalise(row["transcription"]) for row in csv.DictReader(io.StringIO(file.read()))})
    found = [titles(text) for text in texts]
    assert sum(map(bool, found)) > 0.85 * len(texts)
    counts = Counter(title for one in found for title in one)
    for title in ("history of present illness", "preoperative diagnosis", "allergies", "physical examination", "impression", "plan"):
        assert counts[title] > 200, title
    assert sum(count for title, count in counts.most_common(100)) > 0.85 * counts.total()


def test_structured_abstracts_and_articles_are_recognised(shared_data):
    articles = Articles(shared_data / "articles" / "articles.jsonl.gz")
    chosen = [record.text for record, _ in zip(articles.read(articles.files()[0]), range(300), strict=False)]
    both = sum({"methods", "results"} <= set(titles(text)) for text in chosen)
    assert both > 0.75 * len(chosen)
    pubmed = PubMed(shared_data / "pubmed" / "titipata")
    labelled = [r.text for path in pubmed.files() for r in pubmed.read(path) if "\nMETHODS: " in getattr(r, "text", "")]
    assert labelled
    assert all("methods" in titles(text) for text in random.Random(0).sample(labelled, min(50, len(labelled))))
