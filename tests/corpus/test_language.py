import multiprocessing
import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from clinical_modernbert.corpus.text.language import MAX_CHARACTERS, MIN_CHARACTERS, UNDETERMINED, iso_639_3, language
from clinical_modernbert.sources import Articles, Files, PubMed

KNOWN = {
    "eng": "The patient was admitted with chest pain and shortness of breath, and was discharged home in good condition.",
    "deu": "Der Patient wurde mit Brustschmerzen und Atemnot aufgenommen und in gutem Zustand nach Hause entlassen.",
    "fra": "Le patient a été admis pour des douleurs thoraciques et un essoufflement, puis est rentré chez lui en bon état.",
    "spa": "El paciente ingresó con dolor torácico y dificultad para respirar, y fue dado de alta en buenas condiciones.",
    "por": "O paciente foi internado com dor torácica e falta de ar, e recebeu alta em boas condições para casa.",
    "zho": "患者因胸痛和呼吸困难入院，经治疗后情况良好，已出院回家，并在两周后到门诊复查心电图和血液检查，继续服用原来的药物。",
    "jpn": "患者は胸痛と呼吸困難のために入院し、治療を受けた後、良好な状態で退院しました。二週間後に外来を受診する予定です。",
    "rus": "Пациент поступил с болью в груди и одышкой, был выписан домой в хорошем состоянии.",
}


@pytest.mark.parametrize("code", KNOWN)
def test_languages_are_told_apart(code):
    assert language(KNOWN[code]) == code


@pytest.mark.parametrize("text", ["", " " * 500, "Chest pain.", "Normal exam" + " " * MIN_CHARACTERS])
def test_a_short_text_is_undetermined(text):
    assert language(text) == UNDETERMINED


def test_beginning_and_middle_of_a_long_text_are_looked_at():
    form = "Name: ___ MRN: ___ Unit: ___ DOB: ___ " * 5
    assert language(form + KNOWN["deu"] * 20 + KNOWN["rus"] * 3) == "deu"
    assert language(KNOWN["eng"] * MAX_CHARACTERS + KNOWN["rus"] * 50) == "eng"


def test_codes_are_of_three_letters():
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    labels = LanguageIdentifier.from_model_file(MODEL_FILE).labels
    assert [label for label in labels if len(iso_639_3(label)) != 3] == []
    assert [iso_639_3(code) for code in ("fr", "fra", "zxx")] == ["fra", "fra", "zxx"]


def test_threads_and_processes_answer_alike():
    texts = list(KNOWN.values()) * 5
    expected = list(map(language, texts))
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(language, texts)) == expected
    with multiprocessing.get_context("spawn").Pool(1) as processes:
        assert processes.map(language, texts) == expected


def test_real_english_is_english(shared_data):
    sources = (
        Files(shared_data / "notes" / "mtsamples.csv.gz", text_column="transcription"),
        Files(shared_data / "notes" / "e3c_cases.jsonl.gz"),
        Articles(shared_data / "articles" / "articles.jsonl.gz"),
    )
    for source in sources:
        texts = [record.text for record, _ in zip(source.read(source.files()[0]), range(1500), strict=False)]
        codes = [language(text) for text in random.Random(0).sample(texts, 300)]
        assert codes.count("eng") + codes.count(UNDETERMINED) >= 297, source.name


def test_abstracts_in_other_languages_are_what_pubmed_says(shared_data):
    pubmed = PubMed(shared_data / "pubmed")
    records = [record for path in pubmed.files() for record in pubmed.read(path)]
    others = {r.id: (r.metadata["language"], r.text) for r in records if "#" in r.id and len(getattr(r, "text", "")) > 200}
    told = {key: (code, language(text)) for key, (code, text) in others.items()}
    assert len(told) >= 5
    assert [key for key, (said, found) in told.items() if said != found] == []
