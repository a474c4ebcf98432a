"""Questions for terms, from the installed packages."""

from pathlib import Path

import pytest

from clinical_modernbert.tasks import catalogue
from clinical_modernbert.tasks.synonym_questions import content_words


@pytest.mark.parametrize(("task", "least"), [("hpo-synonyms", 150), ("icd10cm-terms", 90)])
def test_no_question_shares_a_word_with_its_answer_and_no_concept_is_in_two_parts(task: str, least: int, tmp_path: Path) -> None:
    data = catalogue.load(task, tmp_path)
    splits = data.splits
    assert len(splits.test.questions) > least
    for question, answers in splits.test.relevant.items():
        (answer,) = answers
        assert not content_words(splits.test.questions[question]) & content_words(splits.test.texts[answer])
    parts = [set(part.texts) for part in (splits.train, splits.dev, splits.test)]
    assert sum(map(len, parts)) == len(set().union(*parts))
    assert data.checksum.split()[1][0].isdecimal()
