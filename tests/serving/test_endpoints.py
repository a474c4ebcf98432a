"""Every endpoint gives what the Python verbs give, and says what the model has no head for."""

import json
import subprocess
import time
from http.client import HTTPConnection

import numpy as np
import openai
import pytest
from pydantic import TypeAdapter

from clinical_modernbert.inference import Encoder, Index, TaskEncoder
from clinical_modernbert.serving.endpoints import ENDPOINTS
from running_server import CONTEXT, LONG, NOTES, running

CLOSE = {"rtol": 1e-4, "atol": 1e-5}


def described(path, answer):
    """The answer, once it is seen to be one of those that the description names."""
    TypeAdapter(ENDPOINTS[path].response).validate_python(answer)
    return answer


def lengths(vectors):
    return np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def encoder(folder):
    return Encoder.from_pretrained(folder("masked"))


def test_the_openai_package_gets_the_vectors_of_encode(server, encoder):
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none")
    expected = encoder.encode([*NOTES, LONG])
    for form in ({}, {"encoding_format": "float"}):
        found = client.embeddings.create(model="any", input=[*NOTES, LONG], **form)
        assert [one.index for one in found.data] == [0, 1, 2, 3]
        np.testing.assert_allclose([one.embedding for one in found.data], expected / lengths(expected), **CLOSE)
        assert found.usage.prompt_tokens == sum(map(len, encoder.sequences([*NOTES, LONG])))


def test_the_openai_package_reads_a_refusal(server):
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)
    with pytest.raises(openai.UnprocessableEntityError, match="a field that is not known here"):
        client.embeddings.create(model="any", input=NOTES[0], dimensions=2)


def test_curl_gets_vectors_with_and_without_their_length(server, encoder):
    for normalize in (True, False):
        body = json.dumps({"inputs": LONG, "normalize": normalize})
        command = ["curl", "-sf", f"{server.url}/embed", "-H", "Content-Type: application/json", "-d", body]
        found = json.loads(subprocess.run(command, capture_output=True, check=True, timeout=30).stdout)
        expected = encoder.encode([LONG])
        np.testing.assert_allclose(found, expected / lengths(expected) if normalize else expected, **CLOSE)


def test_masks_are_filled_as_in_python(server, encoder):
    text = f"{LONG} Started on [MASK] for pain."
    found = server.ask("/fill-mask", {"inputs": [text], "top_k": 3}).json
    expected = encoder.fill_mask(text, top_k=3)
    assert [one["token"] for one in found[0]] == [one.token for one in expected]
    np.testing.assert_allclose([one["probability"] for one in found[0]], [one.probability for one in expected], **CLOSE)
    assert server.ask("/fill-mask", {"inputs": "no mask"}).json["error"]["message"] == "the text has 0 [MASK]. Write exactly one."


def test_search_finds_what_python_finds(server, encoder, index):
    found = server.ask("/search", {"query": "fever", "top_k": 2}).json
    expected = Index.open(index).search(encoder, ["fever"], 2)[0]
    assert [(one["id"], one["text"]) for one in found] == [(one.id, one.text) for one in expected]
    assert found[0]["score"] == pytest.approx(expected[0].score, abs=1e-5)


def test_spans_are_those_of_tag_to_the_end_of_a_long_text(tagger, folder):
    texts = [LONG, "Asthma \U0001fac1 café.", ""]
    found = tagger.ask("/tag", {"inputs": texts}).json
    expected = TaskEncoder.from_pretrained(folder("tagger")).tag(texts)
    assert [[(one["start"], one["end"], one["label"]) for one in some] for some in found] == [
        [(one.start, one.end, one.label) for one in some] for some in expected
    ]
    assert max(one["end"] for one in found[0]) > len(LONG) - 40
    assert all(one["text"] == text[one["start"] : one["end"]] for text, some in zip(texts, found, strict=True) for one in some)
    assert described("/tag", tagger.ask("/tag", {"inputs": LONG}).json) == found[0]


def test_labels_and_ranks_are_those_of_classify(folder, tmp_path):
    with running(folder("classifier"), log=tmp_path / "log") as server:
        expected = TaskEncoder.from_pretrained(folder("classifier")).classify([NOTES[0], LONG])
        found = described("/predict", server.ask("/predict", {"inputs": [[NOTES[0]], [LONG]]}).json)
        assert [[one["label"] for one in some] for some in found] == [list(some) for some in expected]
        np.testing.assert_allclose([one["score"] for one in found[1]], list(expected[1].values()), **CLOSE)
        assert described("/predict", server.ask("/predict", {"inputs": NOTES[0]}).json) == found[0]
        raw = server.ask("/predict", {"inputs": NOTES[0], "raw_scores": True}).json
        softmax = np.exp([one["score"] for one in raw])
        np.testing.assert_allclose(softmax / softmax.sum(), [one["score"] for one in found[0]], **CLOSE)
        assert "3 labels" in server.ask("/rerank", {"query": "a", "texts": ["b"]}).json["error"]["message"]


def test_pairs_are_ranked_by_their_second_label(folder, tmp_path):
    pairs = TaskEncoder.from_pretrained(folder("pairs"))
    with running(folder("pairs"), log=tmp_path / "log") as server:
        expected = [row["yes"] for row in pairs.classify(["fever"] * 3, NOTES)]
        found = described("/rerank", server.ask("/rerank", {"query": "fever", "texts": NOTES, "return_text": True}).json)
        assert [one["index"] for one in found] == np.argsort(-np.array(expected)).tolist()
        np.testing.assert_allclose([one["score"] for one in found], sorted(expected, reverse=True), **CLOSE)
        assert [one["text"] for one in found] == [NOTES[one["index"]] for one in found]
        assert {one["label"] for one in server.ask("/predict", {"inputs": ["fever", NOTES[0]]}).json} == {"no", "yes"}
        refused = server.ask("/predict", {"inputs": "one text alone"})
        assert (refused.status, refused.json["error"]["message"][:27]) == (422, "this model classifies pairs")


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("/tag", {"inputs": "a"}, "no head for tags"),
        ("/predict", {"inputs": "a"}, "no head for labels"),
        ("/rerank", {"query": "a", "texts": ["b"]}, "no head for labels"),
    ],
)
def test_what_the_model_has_no_head_for_is_422_with_the_reason(server, path, body, says):
    refused = server.ask(path, body)
    assert refused.status == 422
    assert says in refused.json["error"]["message"]


def test_a_tagger_embeds_and_neither_fills_masks_nor_searches(tagger):
    assert len(tagger.ask("/embed", {"inputs": NOTES}).json) == len(NOTES)
    assert "fills no masks" in tagger.ask("/fill-mask", {"inputs": "a [MASK]"}).json["error"]["message"]
    assert "no index" in tagger.ask("/search", {"query": "a"}).json["error"]["message"]
    assert tagger.ask("/info").json["verbs"] == ["embed", "tag"]


def test_health_readiness_and_metrics_are_told(server):
    assert server.ask("/health").json == {"status": "ok"}
    assert server.ask("/ready").status == 200
    server.ask("/embed", {"inputs": NOTES})
    told = server.ask("/metrics").body.decode()
    assert 'cmbert_requests_total{endpoint="/embed",status="200"}' in told
    assert "cmbert_row_requests_bucket" in told
    assert "cmbert_queued_tokens 0.0" in told


def test_an_answer_says_its_tokens_and_time(server):
    reply = server.ask("/embed", {"inputs": LONG})
    assert int(reply.headers["x-compute-tokens"]) > CONTEXT
    assert int(reply.headers["x-total-time"]) >= 0


def test_the_description_covers_every_endpoint_and_names_nothing_outside(server):
    described = server.ask("/openapi.json").json
    posts = {path for path, methods in described["paths"].items() if "post" in methods}
    assert posts == {"/v1/embeddings", "/embed", "/predict", "/rerank", "/tag", "/fill-mask", "/search"}
    assert "http" not in server.ask("/openapi.json").body.decode().replace('"type":"http"', "")


def test_answers_over_one_connection_do_not_wait_for_each_others_acknowledgement(server):
    connection, seconds = HTTPConnection(*server.address, timeout=20), []
    for _ in range(24):
        began = time.perf_counter()
        connection.request("POST", "/embed", b'{"inputs": "a"}', {"Content-Type": "application/json"})
        connection.getresponse().read()
        seconds.append(time.perf_counter() - began)
    connection.close()
    assert sorted(seconds)[len(seconds) // 2] < 0.04
