"""Texts are found by the cosine of their vectors, as a plain product finds them, with the model that made the index."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from clinical_modernbert.cli.main import main
from clinical_modernbert.errors import ConfigError, DataError
from clinical_modernbert.inference import Encoder, Index, bulk
from clinical_modernbert.inference import index as module
from clinical_modernbert.model import hf
from clinical_modernbert.model.config import ModernBertConfig
from clinical_modernbert.model.heads import ModernBertForMaskedLM
from clinical_modernbert.model.init import initialize
from clinical_modernbert.sources.document import Document
from clinical_modernbert.tokenization import train

WORDS = ["chest", "pain", "fever", "cough", "since", "morning", "fracture", "femur", "left", "right", "heparin", "daily"]
TEXTS = [" ".join(np.random.default_rng(number).choice(WORDS, 6)) for number in range(300)]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two models of other weights."""
    tokenizer = train(TEXTS * 3, 320)
    special = {"pad_token_id": tokenizer.pad_id, "cls_token_id": tokenizer.cls_id, "bos_token_id": tokenizer.cls_id}
    special |= {"sep_token_id": tokenizer.sep_id, "eos_token_id": tokenizer.sep_id}
    shape = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": 64}
    found = []
    for seed in range(2):
        model = ModernBertForMaskedLM(ModernBertConfig(vocab_size=320, **shape, **special))
        initialize(model, seed)
        found.append(tmp_path_factory.mktemp("model"))
        hf.save(model, found[-1])
        tokenizer.save(found[-1], 64)
    return found


@pytest.fixture
def encoder(folders: list[Path]) -> Encoder:
    return Encoder.from_pretrained(folders[0])


def documents(texts: list[str] = TEXTS) -> list[Document]:
    return [Document(f"note{number}", text, "files", "open") for number, text in enumerate(texts)]


def test_the_nearest_are_those_of_a_plain_product(encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_AT_ONCE", 64)
    monkeypatch.setattr(bulk, "MAX_TEXTS", 90)
    index = Index.build(encoder, documents(), tmp_path / "index")
    queries = ["fever since morning", "left femur", TEXTS[7]]
    cosines = encoder.similarity(queries, TEXTS)
    found = index.search(encoder, queries, top_k=25)
    assert len(index) == 300
    assert found[2][0].id in {f"note{number}" for number in np.flatnonzero(cosines[2] > cosines[2].max() - 1e-6)}
    for hits, row in zip(found, cosines, strict=True):
        np.testing.assert_allclose([hit.score for hit in hits], np.sort(row)[::-1][:25], atol=1e-5)
        np.testing.assert_allclose([row[int(hit.id.removeprefix("note"))] for hit in hits], [hit.score for hit in hits], atol=1e-5)
    assert all(hit.text is None for hit in found[0])
    assert [hit.id for hit in encoder.search(Index.open(tmp_path / "index"), queries)[1]] == [hit.id for hit in found[1][:10]]


def test_faiss_finds_nearly_all_of_the_nearest(encoder: Encoder, tmp_path: Path) -> None:
    pytest.importorskip("faiss", reason="faiss-cpu is not installed")
    exact = Index.build(encoder, documents(), tmp_path / "exact").search(encoder, TEXTS[:50], 10)
    quick = Index.build(encoder, documents(), tmp_path / "quick", use_faiss=True, keep_texts=True).search(encoder, TEXTS[:50], 10)
    shared = [
        len({h.score.__round__(4) for h in one} & {h.score.__round__(4) for h in other}) for one, other in zip(exact, quick, strict=True)
    ]
    distinct = [len({h.score.__round__(4) for h in one}) for one in exact]
    assert sum(shared) / sum(distinct) > 0.95
    assert quick[3][0].text in TEXTS


def test_an_index_of_another_model_is_refused(folders: list[Path], encoder: Encoder, tmp_path: Path) -> None:
    index = Index.build(encoder, documents(), tmp_path / "index")
    with pytest.raises(ConfigError, match="made by another model"):
        index.search(Encoder.from_pretrained(folders[1]), ["fever"])
    bare = Encoder(encoder.model, encoder.tokenizer)
    with pytest.raises(ConfigError, match="loaded from a folder"):
        index.search(bare, ["fever"])


@pytest.mark.parametrize("name", ["index.json", "vectors.npy", "texts.parquet"])
def test_a_damaged_index_is_one_clear_error(encoder: Encoder, tmp_path: Path, name: str) -> None:
    index = Index.build(encoder, documents(), tmp_path / "index")
    path = index.folder / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match="Build it with cmbert index build"):
        Index.open(tmp_path / "index")


def test_the_commands_build_resume_and_search(
    folders: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "MAX_TEXTS", 100)
    notes = tmp_path / "notes.jsonl"
    notes.write_text("".join(json.dumps({"text": text, "key": f"k{number}"}) + "\n" for number, text in enumerate(TEXTS)))
    build = ["index", "build", str(folders[0]), str(notes), "-o", str(tmp_path / "index"), "--id-column", "key", "--keep-texts", "-q"]
    encode, calls = Encoder.encode, []

    def encode_once(self, texts, **options):
        calls.append(len(texts))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return encode(self, texts, **options)

    monkeypatch.setattr(Encoder, "encode", encode_once)
    assert main(build) == 130
    assert main([*build, "--resume"]) == 0
    assert calls == [100, 100, 100, 100]
    capsys.readouterr()
    assert main(["search", str(folders[0]), str(tmp_path / "index"), TEXTS[3], "--top-k", "2", "--json"]) == 0
    first, second = json.loads(capsys.readouterr().out)
    assert first["text"] in TEXTS
    assert first["score"] > 0.999
    assert first["score"] >= second["score"]
    assert main(["search", str(folders[0]), str(tmp_path / "index"), TEXTS[3]]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 10
    assert main(build) == 1
    assert "--overwrite" in capsys.readouterr().err


def test_similarity_is_the_cosine(encoder: Encoder) -> None:
    one, other = torch.from_numpy(encoder.encode(TEXTS[:3])), torch.from_numpy(encoder.encode(TEXTS[3:8]))
    wanted = torch.nn.functional.cosine_similarity(one[:, None], other[None], dim=2)
    np.testing.assert_allclose(encoder.similarity(TEXTS[:3], TEXTS[3:8]), wanted.numpy(), atol=1e-6)
