"""PubMedQA: whether an abstract answers the question of its title with yes, no or maybe."""

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from clinical_modernbert.tasks.examples import LabelledText, Splits
from clinical_modernbert.tasks.reading.data_folder import DataFolder
from clinical_modernbert.tasks.reading.splitting import set_aside

_FILE, _TRUTH = "ori_pqal.json", "test_ground_truth.json"


class _Item(BaseModel):
    question: str = Field(alias="QUESTION")
    contexts: list[str] = Field(alias="CONTEXTS")
    decision: Literal["yes", "no", "maybe"] = Field(alias="final_decision")


def pubmedqa(folder: DataFolder) -> Splits[Sequence[LabelledText]]:
    """The question and, second, the abstract without its conclusion; the labelled part of the data set alone."""
    try:
        items = TypeAdapter(dict[str, _Item]).validate_python(folder.json(_FILE))
    except ValidationError as error:
        raise folder.damaged(folder.find(_FILE), "no questions with contexts and an answer", f"id {error.errors()[0]['loc'][0]}") from None
    truth = folder.json(_TRUTH)
    if not isinstance(truth, dict) or any(id not in items or items[id].decision != answer for id, answer in truth.items()):
        raise folder.damaged(folder.find(_TRUTH), f"not answers of {_FILE}")
    examples = [LabelledText(id, item.question, (item.decision,), second="\n".join(item.contexts)) for id, item in items.items()]
    train, dev = set_aside([example for example in examples if example.id not in truth])
    return Splits(train, dev, [example for example in examples if example.id in truth])
