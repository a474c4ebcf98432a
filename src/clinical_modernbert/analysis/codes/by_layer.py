"""What each layer of a model knows of a code table, pooled in each way, beside the untrained shape."""

from collections.abc import Mapping
from dataclasses import dataclass

from clinical_modernbert.analysis import statistics
from clinical_modernbert.analysis.codes import questions
from clinical_modernbert.analysis.codes.answers import Questions
from clinical_modernbert.analysis.layers import POOLINGS, AllLayers
from clinical_modernbert.analysis.statistics import Estimate
from clinical_modernbert.analysis.subject import MODEL, UNTRAINED, UNTRAINED_SEEDS
from clinical_modernbert.inference import Encoder
from clinical_modernbert.inference.encoder import unit
from clinical_modernbert.progress import Progress, silent, titled
from clinical_modernbert.tasks.code_tables import CodeTable

SAMPLED = 2000
"""Codes at most that are asked about: their states of all layers are in memory at once."""
KEYS = ("mrr", "pair_auc")
"""The figures of `answers.FIGURES` that are asked for."""

ByPooling = Mapping[str, list[Estimate]]
"""Pooling -> an estimate for the embeddings and for each layer."""


@dataclass(frozen=True)
class LayerFindings:
    """Of one table: figure -> contender (the model, the untrained shape) -> pooling -> estimates."""

    system: str
    sampled: int
    figures: Mapping[str, Mapping[str, ByPooling]]

    def best(self, key: str, who: str = MODEL) -> tuple[int, str, Estimate]:
        """Which state, pooled how, has the highest value of a figure, and that value."""
        found = ((state, pooling, one) for pooling, of in self.figures[key][who].items() for state, one in enumerate(of))
        return max(found, key=lambda place: place[2].value)


def analyze_layers(table: CodeTable, model: Encoder, *, limit: int = SAMPLED, seed: int = 0, progress: Progress = silent) -> LayerFindings:
    """Ask the states of every layer, pooled in each way, what `analyze_codes` asks of the last one's."""
    sampled = questions.sample(table, min(limit, SAMPLED), seed)
    asked = Questions(table, sampled, seed)
    trained = _answers(asked, AllLayers(model), titled(progress, MODEL))
    untrained = [_answers(asked, AllLayers(model.untrained(one)), titled(progress, f"{UNTRAINED}, seed {one}")) for one in UNTRAINED_SEEDS]
    keys = [key for key in KEYS if key in trained[POOLINGS[0]][0]]

    def curve(answers: dict[str, list[dict[str, Estimate]]], key: str) -> ByPooling:
        return {pooling: [state[key] for state in states] for pooling, states in answers.items()}

    def mean(key: str) -> ByPooling:
        curves = [curve(answers, key) for answers in untrained]
        return {pooling: [statistics.average(of) for of in zip(*(one[pooling] for one in curves), strict=True)] for pooling in POOLINGS}

    return LayerFindings(table.system, len(sampled), {key: {MODEL: curve(trained, key), UNTRAINED: mean(key)} for key in keys})


def _answers(asked: Questions, encoder: AllLayers, progress: Progress) -> dict[str, list[dict[str, Estimate]]]:
    pooled = encoder.pooled(asked.texts, progress)
    return {pooling: [asked.answer_without_spelling(unit(vectors)) for vectors in states] for pooling, states in pooled.items()}
