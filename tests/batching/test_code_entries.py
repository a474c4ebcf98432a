import json

import numpy as np
import pytest

from clinical_modernbert.batching import CodeEntries, Cursor, Loader, MaskingSettings, TokenStore
from clinical_modernbert.corpus import CorpusSettings, build_corpus
from clinical_modernbert.sources import Codes, Files
from clinical_modernbert.tokenization import train


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Sixty invented codes with a synonym each, as full entries, and forty notes."""
    folder = tmp_path_factory.mktemp("codes")
    organs, findings = ("heart", "lung", "liver", "kidney", "eye"), ("failure", "cancer", "injury", "abscess")
    with (folder / "terms.obo").open("w") as file:
        for i in range(60):
            name = f"{organs[i % 5]} {findings[i // 5 % 4]} of grade {i}"
            file.write(f'[Term]\nid: HP:{i:07d}\nname: {name}\nsynonym: "also {name}" EXACT []\n')
    notes = [{"text": f"Note {i} for HP:{i:07d}: the patient is well."} for i in range(40)]
    (folder / "notes.jsonl").write_text("".join(json.dumps(note) + "\n" for note in notes))
    sources = [Codes(folder / "terms.obo", system="hpo", template="full"), Files(folder / "notes.jsonl", name="notes", access="open")]
    corpus = build_corpus(
        CorpusSettings(sources=sources, quality=None, near_duplicates=None, held_out_concepts=0.0, validation_fraction=0.2),
        folder / "built",
    )
    tokenizer = train(corpus.texts(), 380)
    store = TokenStore.open(corpus, "train", tokenizer)
    return corpus, tokenizer, store


def test_code_and_description_are_found_in_the_ids_of_every_entry_and_in_nothing_else(built):
    corpus, tokenizer, store = built
    entries = CodeEntries.open(corpus, "train", tokenizer, store)
    found = 0
    for document, text in enumerate(corpus.texts()):
        entry = entries.get(document)
        if not text.startswith("HPO term for"):
            assert entry is None
            continue
        assert entry is not None
        line, _, rest = text.partition("\n")
        ids = store.ids(document)
        head, code, name = (
            tokenizer.decode(ids[: entry.code.start]),
            tokenizer.decode(ids[entry.code]),
            tokenizer.decode(ids[entry.description]),
        )
        assert f"{head}{code}:{name}" == line
        assert code.strip().startswith("HP:")
        assert tokenizer.decode(ids[entry.line.stop :]) == "\n" + rest
        found += 1
    assert found == len(entries) == 60


def test_they_are_found_once_and_then_read(built, monkeypatch):
    corpus, tokenizer, store = built
    first = CodeEntries.open(corpus, "train", tokenizer, store)
    monkeypatch.setattr("clinical_modernbert.batching.code_entries._find", None)
    assert len(CodeEntries.open(corpus, "train", tokenizer, store)) == len(first)


def test_a_damaged_file_is_made_again(built):
    corpus, tokenizer, store = built
    wanted = len(CodeEntries.open(corpus, "train", tokenizer, store))
    path = store.folder / "train.codes.npy"
    path.write_bytes(path.read_bytes()[:50])
    assert len(CodeEntries.open(corpus, "train", tokenizer, store)) == wanted


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_so_many_entries_have_their_code_or_their_description_hidden(built, share):
    corpus, tokenizer, store = built
    entries = CodeEntries.open(corpus, "train", tokenizer, store)
    masking = MaskingSettings(mlm_probability=0.05, code_aware=share)
    loader = Loader(store, tokenizer, max_tokens=512, masking=masking, seed=0, phase=0, entries=entries)
    codes = descriptions = 0
    for row in loader.epoch_rows():
        for sample in row.samples:
            entry = entries.get(int(loader.samples.document[sample]))
            batch = loader.batch([type(row)(0, [sample])])
            hidden = set((batch.positions[batch.input_ids[batch.positions] == tokenizer.mask_id] - 1).tolist())
            if entry is not None:
                codes += hidden >= set(range(entry.code.start, entry.code.stop)) and not hidden & set(range(*_ends(entry.description)))
                descriptions += hidden >= set(range(*_ends(entry.description))) and not hidden & set(range(*_ends(entry.code)))
    assert codes + descriptions == pytest.approx(60 * share, abs=12 if 0 < share < 1 else 0)
    if share == 1:
        assert min(codes, descriptions) > 15


def _ends(part: slice) -> tuple[int, int]:
    return part.start, part.stop


def test_other_documents_are_masked_as_without_it(built):
    corpus, tokenizer, store = built
    entries = CodeEntries.open(corpus, "train", tokenizer, store)
    plain, aware = (
        Loader(store, tokenizer, max_tokens=512, masking=MaskingSettings(code_aware=share), seed=0, phase=0, entries=entries)
        for share in (0.0, 1.0)
    )
    notes = [s for s in range(len(plain.samples)) if entries.get(int(plain.samples.document[s])) is None]
    row = type(plain.take(Cursor(), 1)[0][0])(0, notes)
    assert np.array_equal(plain.batch([row]).input_ids, aware.batch([row]).input_ids)
