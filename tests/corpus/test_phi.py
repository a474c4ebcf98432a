import itertools
import re
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinical_modernbert.corpus.text.normalise import PLACEHOLDER, normalise
from clinical_modernbert.corpus.text.phi import PHI_KINDS, Phi, find_phi

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
EXAMPLES = {
    "name": [
        "Seen by Dr. «Quimby» today.",
        "«Zorblat Quimby», MD",
        "Attending: «Quimby»",
        "Name: «zorblat quimby»",
        "Patient: «Quimby, Zorblat J»\n",
        "Electronically signed by «Zorblat Quimby» on",
        "his wife «Zorblata» called",
        "«Mary T. Quimby» was admitted",
    ],
    "geographic": [
        "at «12 Flonk Hill Road»",
        "from «Zorbton, Ohio»",
        "was in «Zorbton, TX» since",
        "«Zorbton, TX 79911»",
        "lives in «Zorbton» with",
        "«P.O. Box 471»",
        "«Flonk County» jail",
        "ZIP: «04471»",
    ],
    "date": [
        "on «3/4/2019»,",
        "on «03/04/19»",
        "on «3/14» by",
        "«2019-03-04»",
        "«March 4, 2019»",
        "«4 March 2019»",
        "«04-Mar-2019»",
        "in «March 2019»",
        "«3/2019»",
        "a «94-year-old» man",
        "«aged 91», ",
        "DOB: «19420304»",
    ],
    "phone": ["«555-867-5309»", "«(555) 867-5309»", "«+44 20 7946 0123»", "phone: «867-5309»", "pager «44711»"],
    "fax": ["Fax: «555-867-5309»", "fax no. «5558675309»"],
    "email": ["to «a.b+c@mail.example.org».", "«x@example.com»"],
    "ssn": ["«900-12-3456»", "SSN «900123456»"],
    "medical_record_number": ["MRN «4711008»", "Medical Record No.: «A-4711»", "Unit No:   «471-10-08»"],
    "health_plan_number": ["Member ID: «QZX471108»", "policy number «471-1082»"],
    "account_number": ["Acct# «4711-08»", "card «4471 1082 0000 1234»"],
    "license_number": ["driver's license: «D471-1082»", "DEA «AZ4711082»", "NPI: «1471108204»"],
    "vehicle_identifier": ["«1HGCM82633A004352»", "license plate «ZQX-4711»"],
    "device_identifier": ["serial number «PX-471108»", "at «00:1a:2B:33:44:5c» lost"],
    "url": ["at «https://example.org/a?b=1».", "«www.example.com»", "on «flonk-family.com»."],
    "ip_address": ["from «192.0.2.17»,", "«2001:db8::4711»"],
    "biometric_identifier": ["fingerprint ID: «FP-471108»", "voiceprint template «VP47110»"],
    "photograph": ["saved «img_4711.JPG» today", "a «full-face photograph» of"],
    "other_identifier": ["Accession number: «A19-47110»", "key «1f0e3dad-9990-4345-b743-9f8ffabdffc4»"],
}


def kinds(text: str) -> list[str]:
    return [phi.kind for phi in find_phi(text)]


@pytest.mark.parametrize(("kind", "example"), [(kind, example) for kind in PHI_KINDS for example in EXAMPLES[kind]])
def test_each_form_is_found_where_it_stands(kind, example):
    before, planted, after = re.split("[«»]", example)
    assert find_phi(before + planted + after) == [Phi(kind, len(before), len(before) + len(planted))]


@pytest.mark.parametrize(
    "text",
    [
        "BP 120/80, HR 72, strength 5/5, 2/6 murmur, GCS 15, pain 7/10, on 1/2 tablet.",
        "Heparin 5000 units; vitamin B12 1000 mcg; lidocaine with 1:100,000 epinephrine.",
        "WBC 12.4, platelets 251000, pH 7.35, INR 1.01, CA 19-9 1520, HER2 2+, ICD-10 E11.9, CPT 99213.",
        "Parkinson disease, Foley catheter, Babinski sign, Whipple procedure in 2014, Ann Arbor stage II, St. Jude valve.",
        "A 67-year-old with a 20-year history; 95 years ago; MR angiography; L4-L5; 4-0 Vicryl; T2-weighted.",
        "Past Medical History: Type 2 Diabetes Mellitus\nAllergies: No Known Drug Allergies\nAttending: Cardiology\nDrug name: lisinopril",
        "Dr. ABC and Mr. XYZ saw Dr. X. Nurse Practitioner was called. The patient lives in Texas and may go on May be.",
        "The Mayo Clinic. Charles River Hospital. Chest PA and lateral. In March, she. 12:30:45.",
    ],
)
def test_what_only_looks_like_it_is_not_found(text):
    assert find_phi(text) == []


@given(
    st.lists(st.sampled_from(["Dr. ", "Name: ", "MRN: ", "Admission Date:  ", "on ", "by ", "___", " ", "\n", "/", "-", "@", ": "])).map(
        "".join
    )
)
def test_placeholders_are_never_found(text):
    assert find_phi(text) == []


@given(st.text(st.sampled_from("ADr. Mi9012/-()@:xcom#_'\n"), max_size=80))
def test_what_is_found_lies_in_order_inside_of_the_text(text):
    found = find_phi(text)
    assert all(0 <= phi.start < phi.end <= len(text) and phi.kind in PHI_KINDS for phi in found)
    assert all(one.end <= other.start for one, other in itertools.pairwise(found))
    assert not any(PLACEHOLDER in text[phi.start : phi.end] for phi in found)


HOSTILE = [
    "a",
    "A",
    "1",
    "Aa ",
    "A. ",
    "Dr. ",
    "1-",
    "1/",
    "1.",
    "(",
    "+",
    "@",
    "a@",
    "a.",
    ".com",
    ":",
    "a:",
    "1:",
    "f:",
    "-1234",
    "X'",
    "Aa-",
    "12 Aa ",
]
HOSTILE += [
    "Name: a ",
    "on 1/",
    "Jan ",
    "9",
    "https://",
    "www.",
    "Aa, ",
    ", MD",
    " County",
    "MRN ",
    "A1",
    "A-1",
    "_",
    "by Aa ",
    "1 1 1-",
    "12-12-",
    "Mary ",
]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("piece", HOSTILE)
def test_hostile_text_takes_seconds_at_most(piece):
    began = time.process_time()
    find_phi(piece * (100_000 // len(piece)))
    assert time.process_time() - began < 30


def test_the_first_and_the_longer_of_two_stay():
    assert kinds("MRN: 900-12-3456") == ["medical_record_number"]
    assert kinds("Dr. Quimby, 12 Flonk Street, Zorbton, OH 44711") == ["name", "geographic", "geographic"]


def test_recall_on_somebody_elses_records(shared_data):
    folder = shared_data / "pyhealth_test_resources" / "test-resources" / "core" / "physionet_deid"
    records = re.findall(r"RECORD=\S+\n(.*?)\n\|\|\|\|END", (folder / "id.text").read_text(), re.DOTALL)
    found = [text[phi.start : phi.end] for text in records for phi in find_phi(text)]
    assert {"Jane Doe", "03/12/2098", "555-867-5309", "00112233", "Robert Wells", "msantos@example.com"} <= set(found)
    assert [record for record in (folder / "id.res").read_text().splitlines() if find_phi(normalise(record))] == []


@pytest.fixture
def script(monkeypatch) -> Callable[[str], ModuleType]:
    """A module of benchmarks/ by its name."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return import_module


def test_made_up_notes_hold_what_they_say_of_all_kinds(script):
    made = list(script("made_up_phi").notes(400, seed=1))
    assert {item.kind for note in made for item in note.planted} == set(PHI_KINDS)
    assert not any(re.search(r"[«»~^{}]", note.text.replace("/~", "/")) for note in made)
    spans = [note.text[item.start : item.end] for note in made for item in note.planted]
    assert all(span == span.strip() and span for span in spans)
    assert made == list(script("made_up_phi").notes(400, seed=1)) != list(script("made_up_phi").notes(400, seed=2))


def test_the_scan_of_made_up_notes_is_as_good_as_it_was(script):
    figures = script("phi").score(script("made_up_phi").notes(600, seed=1))
    assert figures["all"]["recall_as_any_kind"] > 0.7
    assert figures["all"]["precision"] > 0.95
    assert figures["all"]["recall_as_any_kind"] < 1


def test_scores_of_a_scan_are_counted_by_overlap(script):
    made_up = script("made_up_phi")
    text = "MRN 4711008 and 900-12-3456"
    note = made_up.Note(text, (made_up.Planted("phone", "f", 16, 20), made_up.Planted("name", "g", 12, 15)))
    figures = script("phi").score([note])
    assert figures["all"] == {"planted": 2, "recall": 0.0, "recall_as_any_kind": 0.5, "found": 2, "precision": 0.5}
    assert figures["kinds"]["phone"]["forms"] == {"f": 1.0}
