"""What each layer and pooling knows of codes: planted in one layer, it is found there."""

import numpy as np
import pytest
from tiny_encoder import tiny_encoder

from clinical_modernbert.analysis.codes.answers import Contender, analyze_codes
from clinical_modernbert.analysis.codes.by_layer import analyze_layers
from clinical_modernbert.analysis.codes.layer_finding import layer_finding, layer_metrics, layer_reading
from clinical_modernbert.analysis.layers import POOLINGS, AllLayers
from clinical_modernbert.analysis.subject import MODEL, UNTRAINED
from clinical_modernbert.sources import HpoTerms
from clinical_modernbert.tasks.code_tables import CodeTable, read_tables


@pytest.fixture(scope="module")
def hpo() -> CodeTable:
    (table,) = read_tables(HpoTerms())
    return CodeTable(table.system, table.concepts[:6000])


@pytest.fixture(scope="module")
def encoder():
    return tiny_encoder()


def test_the_mean_of_the_last_layer_scores_what_the_encoder_does(encoder, hpo):
    found = analyze_layers(hpo, encoder, limit=800)
    usual = analyze_codes(hpo, [Contender(MODEL, (encoder.encode,))], limit=800, max_mapped=0).figures[MODEL].estimates
    assert set(found.figures) == {"mrr", "pair_auc"}
    for key, of in found.figures.items():
        assert set(of[MODEL]) == set(of[UNTRAINED]) == set(POOLINGS)
        assert {len(states) for states in of[MODEL].values()} == {5}
        assert of[MODEL]["mean"][-1].value == pytest.approx(usual[key].value, abs=2e-3)


def test_a_layer_that_knows_is_found_and_its_pooling(encoder, hpo, monkeypatch):
    rng = np.random.default_rng(0)
    chapter = {concept.chapter: rng.normal(size=16) for concept in hpo.concepts}
    knows = {text: chapter[concept.chapter] for concept in hpo.concepts for text in (concept.name, *concept.synonyms)}
    plain = AllLayers.pooled

    def planted(self, texts, progress=None):
        pooled = plain(self, texts)
        if self.model is encoder.model:
            pooled["cls"][2] = np.array([knows[text] for text in texts])
        return pooled

    monkeypatch.setattr(AllLayers, "pooled", planted)
    found = analyze_layers(hpo, encoder, limit=800)
    state, pooling, best = found.best("pair_auc")
    assert (state, pooling) == (2, "cls")
    assert best.value > 0.95
    assert "the auc of pairs of a chapter is highest at" in layer_reading(found).lower()
    assert "after layer 1, pooled by cls, better than the mean of the last layer" in layer_reading(found)


def test_every_number_of_the_curves_is_in_the_metrics(encoder, hpo):
    found = analyze_layers(hpo, encoder, limit=400)
    kept = layer_metrics(found)
    assert len(kept["mrr"][MODEL]["cls"]) == 5
    assert kept["mrr"][UNTRAINED]["mean"][4]["value"] == pytest.approx(found.figures["mrr"][UNTRAINED]["mean"][4].value, abs=1e-4)
    finding = layer_finding(found)
    assert [plot.name for plot in finding.plots] == ["codes-hpo-layers-mrr", "codes-hpo-layers-pair-auc"]
    assert [len(table.rows) for table in finding.tables] == [5, 5]
