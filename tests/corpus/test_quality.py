import base64
import random
import time
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinical_modernbert.corpus.text import quality
from clinical_modernbert.corpus.text.normalise import normalise
from clinical_modernbert.corpus.text.quality import FAULTS, QualitySettings, faults
from clinical_modernbert.sources import Articles, Files, MimicNotes, PubMed

LIMITS = QualitySettings()
NOTE = (
    "The patient was admitted with chest pain and shortness of breath. Troponin was negative twice, the stress test showed no ischemia. "
    "He was started on aspirin and a statin, was counselled to stop smoking, and goes home today in good condition with his daughter.\n"
)
TABLE = "\n".join(f"{i} 7.{i % 10} 140 | 4.{i % 7} | 98.{i % 3} % - - 12/{i}" for i in range(60))
RUBBISH = {
    quality.TOO_SHORT: ["", "  \n ", "Stable.", "Supercalifragilisticexpialidocious unremarkable"],
    quality.SIGNATURE_ONLY: [
        "Electronically signed by Zorblat Quimblewick, MD\n03/04/2020 10:11 AM",
        "Dictated by: Zorblat Quimblewick, M.D.\nD: ___\nT: ___\nJob ID: 4471",
        "___\n\nSigned electronically by Dr. Flonk on ___\nZorblat Quimblewick, RN",
    ],
    quality.UNREADABLE_CHARACTERS: [NOTE + "\ufffd" * 20, NOTE + "\ue000\uf8ff" * 10],
    quality.MOSTLY_NUMBERS: [TABLE, "1.5, 2.5; 3.5 | " * 50],
    quality.LONG_WORDS: [base64.encodebytes(random.Random(0).randbytes(3000)).decode()],
    quality.REPEATED_LINES: ["Vital signs were stable overnight.\n" * 12 + NOTE, (NOTE + "\n") * 3],
    quality.REPEATED_PHRASES: ["within normal limits " * 100, "no acute distress, " * 30 + NOTE],
}


@pytest.mark.parametrize(("fault", "text"), [(fault, text) for fault, texts in RUBBISH.items() for text in texts])
def test_rubbish_is_dropped_for_its_reason(fault, text):
    assert faults(text, LIMITS) == fault


@pytest.mark.parametrize(
    "text",
    [
        NOTE,
        "Pulmonary embolism in pregnancy.",
        "Normal chest.  No change from before.\nElectronically signed by Zorblat Quimblewick, MD",
        "Reviewed by Dr. Flonk.\nThe chest is clear.",
        "Dihydropyrimidine dehydrogenase deficiency.",
        "患者因胸痛和呼吸困难入院，经治疗后情况良好，已出院回家，并在两周后到门诊复查心电图和血液检查。",
        "Labs: WBC-5.6 RBC-4.3 Hgb-12.1 Hct-36.4 MCV-90 Plt-251 Glucose-101 UreaN-17 Creat-0.8 Na-140 K-4.1",
    ],
)
def test_real_kinds_of_text_stay(text):
    assert faults(text, LIMITS) is None


def test_every_reason_is_named_once():
    assert set(RUBBISH) == set(FAULTS)
    assert len(FAULTS) == len(set(FAULTS))


def test_a_share_of_one_switches_a_rule_off():
    off = QualitySettings(
        min_characters=0,
        min_words=0,
        drop_signatures=False,
        max_unreadable=1,
        max_nonletters=1,
        max_mean_word_length=1e9,
        max_repeated_lines=1,
        max_phrases=(1, 1, 1),
    )
    assert [text for texts in RUBBISH.values() for text in texts if faults(text, off)] == []


@given(st.lists(st.sampled_from(["a", "bb", "ccc", "the", "x"]), max_size=80), st.floats(0.05, 0.6))
def test_phrases_are_counted_as_if_all_were(words, limit):
    plain = False
    for size in (2, 3, 4):
        grams = Counter(tuple(words[i : i + size]) for i in range(len(words) - size + 1))
        if grams:
            gram, count = grams.most_common(1)[0]
            plain |= count > 1 and count * sum(map(len, gram)) > limit * sum(map(len, words))
    assert quality._repeats_phrases(words, (limit,) * 3) == plain


@given(st.text())
def test_any_text_has_an_answer(text):
    assert faults(text, LIMITS) in (None, *FAULTS)


@pytest.mark.timeout(30)
@pytest.mark.parametrize("piece", ["a", "1", "\n", "Signed by \n", "D: \n", "a b ", "_", "A.B, ", "\ufffd"])
def test_hostile_text_takes_seconds_at_most(piece):
    began = time.process_time()
    faults(piece * (1_000_000 // len(piece)), LIMITS)
    assert time.process_time() - began < 10


def test_few_real_texts_are_dropped(shared_data):
    sources = {
        "articles": Articles(shared_data / "articles" / "articles.jsonl.gz"),
        "e3c": Files(shared_data / "notes" / "e3c_cases.jsonl.gz"),
        "mtsamples": Files(shared_data / "notes" / "mtsamples.csv.gz", text_column="transcription"),
        "mimic layout": MimicNotes(shared_data / "mimic-iv-note-layout"),
        "pubmed": PubMed(shared_data / "pubmed"),
    }
    allowed = {"articles": 0.002, "e3c": 0.005, "mtsamples": 0.005, "mimic layout": 0.005, "pubmed": 0.02}
    for name, source in sources.items():
        texts = (r.text for path in source.files() for r, _ in zip(source.read(path), range(2500), strict=False) if hasattr(r, "text"))
        found = [faults(normalise(text), LIMITS) for text in texts if text.strip()]
        dropped = Counter(fault for fault in found if fault)
        assert dropped.total() <= allowed[name] * len(found), (name, dropped, len(found))
