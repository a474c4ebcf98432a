"""From an invented BRAT folder to tagged text, and from tables to classified text; other tools load what comes out."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import clinical_modernbert as cmb
from clinical_modernbert import formats
from clinical_modernbert.cli.main import main
from clinical_modernbert.errors import CheckpointError, ConfigError, DataError
from clinical_modernbert.inference import Encoder, TaskEncoder
from clinical_modernbert.model import hf
from clinical_modernbert.model.config import ModernBertConfig
from clinical_modernbert.model.heads import ModernBertForMaskedLM
from clinical_modernbert.model.init import initialize
from clinical_modernbert.pretraining.start import access_of
from clinical_modernbert.tasks import user_data
from clinical_modernbert.tasks.stopping import Epoch, Fit
from clinical_modernbert.tokenization import train as train_tokenizer

DRUGS, DOSES, OTHERS = (
    ["aspirin", "heparin", "warfarin"],
    ["5 mg", "10 mg"],
    ["daily", "stopped", "given", "today", "after", "food", "with"],
)
FAST = ["--set", "training.peak_lr=3e-3", "--set", "training.epochs=8", "--set", "training.patience=8", "--set", "training.batch_size=8"]


def sentence(rng: np.random.Generator) -> tuple[str, list[tuple[int, int, str]]]:
    """Some words, and which of them are drugs and doses."""
    text, spans = "", []
    for _ in range(7):
        label, words = [("Drug", DRUGS), ("Dose", DOSES), ("", OTHERS), ("", OTHERS)][rng.integers(4)]
        word = str(rng.choice(words))
        text += " " * bool(text)
        if label:
            spans.append((len(text), len(text) + len(word), label))
        text += word
    return text, spans


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`model/`, `brat/` and `notes.csv`."""
    folder = tmp_path_factory.mktemp("finetune")
    rng = np.random.default_rng(0)
    drawn = [sentence(rng) for _ in range(160)]
    documents = [
        formats.AnnotatedDocument(
            f"note{number:03}", text, tuple(formats.Span.over(text, f"T{n}", label, (a, b)) for n, (a, b, label) in enumerate(spans, 1))
        )
        for number, (text, spans) in enumerate(drawn)
    ]
    formats.write(documents, folder / "brat", "brat")
    with (folder / "notes.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "patient", "text", "label", "drugs", "count"])
        for number, (text, spans) in enumerate(drawn):
            drugs = sorted({text[a:b] for a, b, label in spans if label == "Drug"})
            writer.writerow([number, number // 2, text, "yes" if drugs else "no", ";".join(drugs), len(spans)])
    tokenizer = train_tokenizer([text for text, _ in drawn], 360)
    special = {"pad_token_id": tokenizer.pad_id, "cls_token_id": tokenizer.cls_id, "sep_token_id": tokenizer.sep_id}
    shape = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 2, "max_position_embeddings": 128}
    ends = {"bos_token_id": tokenizer.cls_id, "eos_token_id": tokenizer.sep_id}
    model = ModernBertForMaskedLM(ModernBertConfig(vocab_size=len(tokenizer), **shape, **special, **ends))
    initialize(model, 0)
    hf.save(model, folder / "model")
    tokenizer.save(folder / "model", 128)
    return folder


@pytest.fixture(scope="module")
def tagger(place: Path) -> Path:
    command = ["finetune", str(place / "model"), "--task", "ner", "--data", str(place / "brat"), "-o", str(place / "tagger"), "-q"]
    assert main([*command, *FAST]) == 0
    return place / "tagger"


@pytest.fixture(scope="module")
def classifier(place: Path) -> Path:
    command = [
        "finetune",
        str(place / "model"),
        "--task",
        "classify",
        "--data",
        str(place / "notes.csv"),
        "-o",
        str(place / "yes-no"),
        "-q",
    ]
    assert main([*command, *FAST]) == 0
    return place / "yes-no"


def test_a_brat_folder_ends_in_tagged_text(tagger: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    about = json.loads((tagger / "finetune.json").read_text())
    assert about["value"] > 0.95
    assert about["by_label"].keys() == {"Drug", "Dose"}
    assert sum(about["examples"].values()) == 160
    assert "**Credentialed.**" in (tagger / "README.md").read_text()
    text = "stopped aspirin today given 10 mg"
    (tmp_path / "new.jsonl").write_text(json.dumps({"id": "a", "text": text}) + "\n")
    assert main(["tag", str(tagger), str(tmp_path / "new.jsonl"), "--id-column", "id", "-o", str(tmp_path / "tagged.jsonl"), "-q"]) == 0
    assert "2 spans in 1 texts" in capsys.readouterr().out
    found = json.loads((tmp_path / "tagged.jsonl").read_text())["spans"]
    assert [(span["text"], span["label"]) for span in found] == [("aspirin", "Drug"), ("10 mg", "Dose")]
    assert all(text[span["start"] : span["end"]] == span["text"] and 0.5 < span["score"] <= 1 for span in found)


def test_tagged_text_comes_as_brat_too(tagger: Path, tmp_path: Path) -> None:
    (tmp_path / "new.txt").write_text("heparin given")
    assert main(["tag", str(tagger), str(tmp_path / "new.txt"), "--format", "brat", "-o", str(tmp_path / "brat"), "-q"]) == 0
    (document,) = formats.open(tmp_path / "brat", "brat")
    assert [(span.text, span.label) for span in document.spans] == [("heparin", "Drug")]


def test_a_table_ends_in_classified_text(classifier: Path, place: Path, tmp_path: Path) -> None:
    assert json.loads((classifier / "finetune.json").read_text())["value"] > 0.9
    assert main(["classify", str(classifier), str(place / "notes.csv"), "--limit", "40", "-o", str(tmp_path / "out.jsonl"), "-q"]) == 0
    found = [json.loads(line)["labels"] for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert len(found) == 40
    assert all(sum(labels.values()) == pytest.approx(1) and max(labels.values()) == next(iter(labels.values())) for labels in found)
    gold = [row["label"] for row in csv.DictReader((place / "notes.csv").open())][:40]
    assert np.mean([next(iter(labels)) == label for labels, label in zip(found, gold, strict=True)]) > 0.9


@pytest.mark.parametrize(("task", "column", "least"), [("multilabel", "drugs", 0.9), ("regression", "count", 0.9)])
def test_several_labels_and_numbers_are_learnt_from_a_table(place: Path, tmp_path: Path, task: str, column: str, least: float) -> None:
    command = ["finetune", str(place / "model"), "--task", task, "--data", str(place / "notes.csv"), "-o", str(tmp_path / "out"), "-q"]
    assert main([*command, *FAST, "--set", f"columns.label={column}", "--set", "training.epochs=15"]) == 0
    assert json.loads((tmp_path / "out" / "finetune.json").read_text())["value"] > least
    (some,) = TaskEncoder.from_pretrained(tmp_path / "out").classify(["aspirin with food after 5 mg today given"])
    assert max(some, key=lambda label: some[label]) == ("aspirin" if task == "multilabel" else "value")
    assert task == "multilabel" or some["value"] == pytest.approx(2, abs=0.7)


def test_transformers_gives_the_same_scores_for_what_was_written(tagger: Path, classifier: Path) -> None:
    import transformers

    text = "given aspirin 10 mg daily"
    tokenizer = transformers.AutoTokenizer.from_pretrained(tagger)
    inputs = tokenizer(text, return_tensors="pt")
    theirs = transformers.AutoModelForTokenClassification.from_pretrained(tagger)
    ours = TaskEncoder.from_pretrained(tagger)
    with torch.inference_mode():
        logits = theirs(**{name: inputs[name] for name in ("input_ids", "attention_mask")}).logits[0]
        states = torch.from_numpy(ours.states([inputs["input_ids"][0].numpy()])[0])
        torch.testing.assert_close(ours._task.classify(states), logits, atol=1e-4, rtol=1e-4)
        their_probabilities = (
            transformers.AutoModelForSequenceClassification.from_pretrained(classifier)(
                **{name: inputs[name] for name in ("input_ids", "attention_mask")}
            )
            .logits[0]
            .softmax(0)
        )
    (mine,) = TaskEncoder.from_pretrained(classifier).classify([text])
    assert theirs.config.id2label[1] == ours.labels[1]
    assert [mine["no"], mine["yes"]] == pytest.approx(their_probabilities.tolist(), abs=1e-4)


def test_an_encoder_of_a_fine_tuned_folder_tags_and_says_what_it_cannot(tagger: Path, classifier: Path) -> None:
    encoder = Encoder.from_pretrained(tagger)
    assert isinstance(encoder, TaskEncoder)
    assert encoder.tag([]) == []
    assert encoder.tag([""]) == [[]]
    assert encoder.encode(["aspirin"]).shape == (1, 32)
    with pytest.raises(ConfigError, match="fills no masks"):
        encoder.pseudo_perplexity(["Started on aspirin."])
    with pytest.raises(ConfigError, match="fills no masks"):
        encoder.fill_mask("[MASK]")
    with pytest.raises(ConfigError, match="tags words and classifies no texts"):
        encoder.classify(["a"])
    with pytest.raises(ConfigError, match="classifies texts and tags nothing"):
        TaskEncoder.from_pretrained(classifier).tag(["a"])


def test_the_words_of_the_scored_tagger_are_those_that_it_will_cut(place: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    words = ["5-mg/10", "given", "today"]
    drawn = [[int(rng.integers(3)) for _ in range(6)] for _ in range(120)]
    lines = ["\n".join(f"{words[n]}\t{'B-Dose' if n == 0 else 'O'}" for n in sentence) for sentence in drawn]
    rows(tmp_path, "all.conll", *(line + "\n" for line in lines))
    command = ["finetune", str(place / "model"), "--task", "ner", "--data", str(tmp_path / "all.conll"), "-o", str(tmp_path / "out"), "-q"]
    assert main([*command, *FAST]) == 0
    (found,) = TaskEncoder.from_pretrained(tmp_path / "out").tag(["given 5-mg/10 today"])
    assert [(span.start, span.end) for span in found] == [(6, 13)]


def test_pairs_are_classified_with_both_texts(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(2)
    drawn = [(str(rng.choice(DRUGS)), str(rng.choice(DRUGS))) for _ in range(200)]
    lines = [f"{one} given,{other} stopped,{'yes' if other == 'aspirin' else 'no'}" for one, other in drawn]
    table = rows(tmp_path, "pairs.csv", "text,second,label", *lines)
    command = ["finetune", str(place / "model"), "--task", "pairs", "--data", str(table), "-o", str(tmp_path / "out"), "-q", *FAST]
    assert main(command) == 0
    classify = ["classify", str(tmp_path / "out"), str(table), "-q"]
    assert main([*classify, "--second-column", "second", "-o", str(tmp_path / "a.jsonl")]) == 0
    said = [next(iter(json.loads(line)["labels"])) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert np.mean([one == ("yes" if other == "aspirin" else "no") for one, (_, other) in zip(said, drawn, strict=True)]) > 0.9
    capsys.readouterr()
    assert main([*classify, "-o", str(tmp_path / "b.jsonl")]) == 1
    assert "classifies pairs of texts. Give a second one for each." in capsys.readouterr().err
    assert main([*classify, "--second-column", "nosuch", "-o", str(tmp_path / "b.jsonl")]) == 1
    assert "nothing in nosuch" in capsys.readouterr().err


def test_a_learning_rate_that_breaks_the_weights_ends_in_one_error(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["finetune", str(place / "model"), "--task", "ner", "--data", str(place / "brat"), "-o", str(tmp_path / "out"), "-q"]
    assert main([*command, "--set", "training.peak_lr=1e30"]) == 1
    assert "a loss or gradient is no number (examples note" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_tagger_that_learnt_nothing_says_so(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "with food after today given " * 4
    for number in range(60):
        document = formats.AnnotatedDocument(f"d{number}", text, (formats.Span.over(text, "T1", "Phrase", (23, 51)),))
        formats.write([document], tmp_path / "brat", "brat")
    command = ["finetune", str(place / "model"), "--task", "ner", "--data", str(tmp_path / "brat"), "-o", str(tmp_path / "out")]
    assert main([*command, "--set", "training.peak_lr=1e-7", "--set", "training.epochs=1"]) == 0
    assert "in 1 epochs, or lost again. Set training.epochs higher, or --tune." in capsys.readouterr().err


def test_a_tagger_that_ends_with_nothing_said_says_so_though_it_began_by_chance(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    history = [Epoch(2.0, 0.016), Epoch(1.0, 0.0)]
    monkeypatch.setattr("clinical_modernbert.tasks.finetune.train", lambda *_: Fit(history, 2e-5, {2e-5: 0.016}))
    command = ["finetune", str(place / "model"), "--task", "ner", "--data", str(place / "brat"), "-o", str(tmp_path / "out")]
    assert main(command) == 0
    assert "span_f1 on the dev part was 0.000 at the end and 0.016 at best: too little was learnt" in capsys.readouterr().err


def test_spans_that_no_tags_can_say_are_counted(place: Path, tmp_path: Path) -> None:
    documents = [
        formats.AnnotatedDocument(
            f"n{n}",
            "aspirin 5 mg",
            tuple(formats.Span.over("aspirin 5 mg", f"T{k}", "Drug", place) for k, place in enumerate([(0, 7), (0, 12)], 1)),
        )
        for n in range(40)
    ]
    formats.write(documents, tmp_path / "brat", "brat")
    command = ["finetune", str(place / "model"), "--task", "ner", "--data", str(tmp_path / "brat"), "-o", str(tmp_path / "out"), "-q"]
    assert main([*command, "--set", "training.epochs=1"]) == 0
    assert json.loads((tmp_path / "out" / "finetune.json").read_text())["counted"]["span that no tags can say"] == 40


def brat_parts(folder: Path, **labels: str) -> Path:
    """A part for each name, of 20 documents; the text of its only span is the same in all, its label is not, empty for no span."""
    for part, label in labels.items():
        spans = (formats.Span.over("aspirin 5 mg", "T1", label, (0, 7)),) if label else ()
        formats.write((formats.AnnotatedDocument(f"n{n}", "aspirin 5 mg", spans) for n in range(20)), folder / part, "brat")
    return folder


def test_a_label_that_only_the_test_part_has_counts_as_missed(place: Path, tmp_path: Path) -> None:
    data = brat_parts(tmp_path / "brat", train="Drug", test="Dose")
    command = ["finetune", str(place / "model"), "--task", "ner", "--data", str(data), "-o", str(tmp_path / "out"), "-q"]
    assert main([*command, "--set", "training.epochs=1"]) == 0
    about = json.loads((tmp_path / "out" / "finetune.json").read_text())
    assert about["by_label"]["Dose"]["support"] == about["counted"]["span that no tags can say"] == 20
    assert about["value"] == 0


@pytest.mark.parametrize("empty", ["dev", "test"])
def test_a_part_in_which_every_model_has_the_same_figure_is_an_error(place: Path, tmp_path: Path, empty: str) -> None:
    data = brat_parts(tmp_path / "brat", **{**dict.fromkeys(("train", "dev", "test"), "Drug"), empty: ""})
    with pytest.raises(DataError, match=f"nothing to find in the 20 examples of the {empty} part"):
        cmb.finetune(place / "model", "ner", data, tmp_path / "out")
    for part in ("train", "dev", "test"):
        rows(tmp_path / "numbers", f"{part}.csv", "text,label", *(f"text {n},{0 if part == empty else n}" for n in range(20)))
    with pytest.raises(DataError, match=f"nothing to find in the 20 examples of the {empty} part"):
        cmb.finetune(place / "model", "regression", tmp_path / "numbers", tmp_path / "out")


def test_windows_in_use_are_those_of_training(place: Path, tmp_path: Path) -> None:
    command = ["finetune", str(place / "model"), "--task", "ner", "--data", str(place / "brat"), "-o", str(tmp_path / "out"), "-q"]
    assert main([*command, "--set", "training.epochs=1", "--set", "training.max_tokens=16"]) == 0
    encoder = TaskEncoder.from_pretrained(tmp_path / "out")
    seen: list[int] = []
    states = encoder.states
    encoder.states = lambda some: (seen.extend(map(len, some)), states(some))[1]  # type: ignore[method-assign]
    encoder.tag(["given food today after " * 30])
    assert max(seen) == 16


def test_a_text_longer_than_the_context_is_tagged_to_its_end(tagger: Path) -> None:
    encoder = TaskEncoder.from_pretrained(tagger)
    text = "given food today after " * 100 + "warfarin"
    (found,) = encoder.tag([text])
    assert (text[found[-1].start : found[-1].end], found[-1].label) == ("warfarin", "Drug")


def test_python_gives_what_the_command_gives(place: Path, tagger: Path, tmp_path: Path) -> None:
    from clinical_modernbert.settings import parse
    from clinical_modernbert.tasks.finetune import UserSettings

    settings = parse(UserSettings, {}, FAST[1::2])
    done = cmb.finetune(place / "model", "ner", place / "brat", tmp_path / "again", settings=settings)
    assert done.value == json.loads((tagger / "finetune.json").read_text())["value"]
    assert (tmp_path / "again" / "model.safetensors").read_bytes() == (tagger / "model.safetensors").read_bytes()
    assert done.encoder().tag(["aspirin"]) == TaskEncoder.from_pretrained(tagger).tag(["aspirin"])


def test_a_damaged_folder_is_one_clear_error(tagger: Path, tmp_path: Path) -> None:
    tensors = hf.read_tensors(tagger)
    hf.save_tensors(hf.load_config(tagger), {n: t for n, t in tensors.items() if n != "classifier.bias"}, tmp_path / "cut")
    described = json.loads((tagger / "config.json").read_text())
    (tmp_path / "cut" / "config.json").write_text(json.dumps(described))
    with pytest.raises(CheckpointError, match=r"1 missing \(classifier\.bias\)"):
        Encoder.from_pretrained(tmp_path / "cut")


def rows(folder: Path, name: str, *lines: str) -> Path:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("\n".join(lines) + "\n")
    return folder / name


def test_parts_of_a_users_own_are_kept(tmp_path: Path) -> None:
    for part, count in (("train", 30), ("test", 3)):
        rows(tmp_path, f"{part}.csv", "text,label", *(f"{part} {n},a" for n in range(count)))
    found = user_data.read(tmp_path, "classify", None, user_data.Columns())
    assert found.came_divided
    assert [example.text for example in found.splits.test] == ["test 0", "test 1", "test 2"]
    assert len(found.splits.train) + len(found.splits.dev) == 30
    assert found.splits.dev


def test_a_patient_is_in_one_part(place: Path) -> None:
    splits = user_data.read(place / "notes.csv", "classify", None, user_data.Columns()).splits
    groups = [{example.group for example in part} for part in (splits.train, splits.dev, splits.test)]
    assert sum(map(len, groups)) == len(set().union(*groups)) == 80


@pytest.mark.parametrize(
    ("lines", "kind", "says"),
    [
        (["text,label", "a,"], "classify", r"nothing in label \(.*row 1\)"),
        (["text,label", "a, "], "classify", r"nothing in label \(.*row 1\)"),
        (["note,label", "a,b"], "classify", r"no column text \(found note, label; .*row 1\)"),
        (["text,label", "a,high"], "regression", r"no number in label \(.*row 1\)"),
        (["text,note", "a,b"], "multilabel", r"no column label \(found text, note; "),
        (["text,label", "a,b"], "pairs", r"no column second"),
        (["text,label", "a,b"], "ner", "is learnt from annotated files"),
        (["text,label", "a,b"], "classify", r"too few documents to hold some out"),
        (["text,label"], "classify", "no examples"),
    ],
)
def test_a_table_that_does_not_fit_is_one_error_without_its_text(tmp_path: Path, lines: list[str], kind: str, says: str) -> None:
    with pytest.raises((DataError, ConfigError), match=says) as error:
        user_data.read(rows(tmp_path, "t.csv", *lines), kind, None, user_data.Columns())  # type: ignore[arg-type]
    assert "high" not in str(error.value)


def test_a_file_called_tsv_is_a_table_of_labels_and_words_with_tags(tmp_path: Path) -> None:
    table = rows(tmp_path, "notes.tsv", "text\tlabel", *(f"text {n}\tyes" for n in range(60)))
    assert user_data.read(table, "classify", None, user_data.Columns()).splits.train[0].labels == ("yes",)
    tags = rows(tmp_path, "tags.tsv", *(line for n in range(60) for line in (f"word{n} B-Drug", "taken O", "")))
    assert user_data.read(tags, "ner", None, user_data.Columns()).splits.train[0].spans[0].label == "Drug"


def test_blanks_around_a_label_make_no_other_label(tmp_path: Path) -> None:
    table = rows(tmp_path, "t.csv", "text,label", *(f"text {n},{(' yes', 'yes ')[n % 2]}" for n in range(60)))
    splits = user_data.read(table, "classify", None, user_data.Columns()).splits
    assert {example.labels for example in splits.train} == {("yes",)}


def test_a_folder_without_a_table_or_with_two_kinds_is_an_error_that_says_so(place: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no \.csv and no \.jsonl \("):
        user_data.read(place / "brat", "classify", None, user_data.Columns())
    for name in ("a.csv", "a.jsonl"):
        rows(tmp_path, name, "text,label")
    with pytest.raises(DataError, match=r"both \.csv and \.jsonl \("):
        user_data.read(tmp_path, "classify", None, user_data.Columns())


def test_brat_is_not_read_as_i2b2(place: Path) -> None:
    with pytest.raises(ConfigError, match=r"files of brat and not of i2b2 \("):
        user_data.read(place / "brat", "ner", "i2b2", user_data.Columns())


def test_a_table_beside_annotated_files_is_no_part_of_them(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "brat", tmp_path / "brat")
    rows(tmp_path / "brat", "list.csv", "text,label")
    assert user_data.read(tmp_path / "brat", "ner", None, user_data.Columns()).splits.train


def test_annotations_none_of_which_can_be_read_are_an_error_with_the_reason(tmp_path: Path) -> None:
    for name in ("a", "b"):
        rows(tmp_path, f"{name}.txt", "some word")
        rows(tmp_path, f"{name}.ann", "T1\tDrug 5 9\tother")
    with pytest.raises(DataError, match=r"the first as its text is not what stands at its offsets \(.*a\.ann, line 1, T1\)"):
        user_data.read(tmp_path, "ner", None, user_data.Columns())


def test_a_patient_called_0_is_a_patient(tmp_path: Path) -> None:
    lines = [json.dumps({"text": f"text {n}", "label": "ab"[n % 2], "patient": n % 60}) for n in range(240)]
    splits = user_data.read(rows(tmp_path, "t.jsonl", *lines), "classify", None, user_data.Columns()).splits
    parts = [{example.group for example in part} for part in (splits.train, splits.dev, splits.test)]
    assert "0" in set().union(*parts)
    assert sum(map(len, parts)) == 60


@pytest.mark.parametrize(("kind", "label", "says"), [("classify", "same", "nothing to learn"), ("multilabel", "", "nothing to learn")])
def test_labels_that_teach_nothing_are_an_error(place: Path, tmp_path: Path, kind: str, label: str, says: str) -> None:
    table = rows(tmp_path, "t.csv", "text,label", *(f"text {n},{label}" for n in range(60)))
    with pytest.raises(DataError, match=says):
        cmb.finetune(place / "model", kind, table, tmp_path / "out")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("columns", "lines", "says"),
    [
        ({"group": "patiemt"}, ["text,label", "a,b"], "no column patiemt"),
        ({"id": "note"}, ["text,label", "a,b"], r"no column note \(.*--set columns\.id"),
        ({"label": "text"}, ["text,label", "word " * 40 + ",b"], "a label of more than 100 characters in text"),
        ({}, ["text,label", "a,inf"], "no number in label"),
    ],
)
def test_columns_that_cannot_be_meant_are_an_error(tmp_path: Path, columns: dict[str, str], lines: list[str], says: str) -> None:
    kind = "regression" if "number" in says else "classify"
    with pytest.raises(DataError, match=says) as error:
        user_data.read(rows(tmp_path, "t.csv", *lines), kind, None, user_data.Columns(**columns))  # type: ignore[arg-type]
    assert "word" not in str(error.value)


@pytest.mark.parametrize(
    ("kind", "row", "column"),
    [
        ("classify", {"text": ["a", "b"], "label": "x"}, "text"),
        ("pairs", {"text": "a", "second": {"b": 1}, "label": "x"}, "second"),
        ("classify", {"text": "a", "label": ["x"]}, "label"),
        ("multilabel", {"text": "a", "label": {"x": 1, "y": 0}}, "label"),
        ("multilabel", {"text": "a", "label": [["x"]]}, "label"),
    ],
)
def test_what_is_no_single_value_is_taken_for_none(tmp_path: Path, kind: str, row: dict[str, object], column: str) -> None:
    with pytest.raises(DataError, match=rf"several values in {column} \(.*row 1\)"):
        user_data.read(rows(tmp_path, "t.jsonl", json.dumps(row)), kind, None, user_data.Columns())  # type: ignore[arg-type]


def test_a_label_called_0_is_a_label_and_null_is_none(tmp_path: Path) -> None:
    lines = [json.dumps({"text": f"text {n}", "label": (0, [0, None], None)[n % 3]}) for n in range(90)]
    splits = user_data.read(rows(tmp_path, "t.jsonl", *lines), "multilabel", None, user_data.Columns()).splits
    assert {example.labels for example in splits.train} == {("0",), ()}


def test_what_is_beside_the_parts_or_in_two_of_them_is_counted(tmp_path: Path) -> None:
    for name, first in (("train", 0), ("dev", 40), ("test", 16), ("more", 0)):
        rows(tmp_path, f"{name}.csv", "text,label,patient", *(f"text {n},a,p{n // 4}" for n in range(first, first + 20)))
    rows(tmp_path, ".DS_Store")
    assert user_data.read(tmp_path, "classify", None, user_data.Columns()).splits.counted == {
        "file or folder beside the parts, not read": 1,
        "text of the test part that another part has, too": 4,
        "text of the test part whose patient is in another part, too": 4,
    }


def test_half_of_the_parts_is_an_error_and_documents_called_test_are_documents(place: Path, tmp_path: Path) -> None:
    for part in ("train", "dev"):
        rows(tmp_path / "half", f"{part}.csv", "text,label", *(f"{n},a" for n in range(30)))
    with pytest.raises(DataError, match="there is train and dev, and not both train and test"):
        user_data.read(tmp_path / "half", "classify", None, user_data.Columns())
    documents = [
        formats.AnnotatedDocument(name, "aspirin", (formats.Span.over("aspirin", "T1", "Drug", (0, 7)),))
        for name in ("dev", "test", *(f"n{n}" for n in range(60)))
    ]
    formats.write(documents, tmp_path / "brat", "brat")
    assert not user_data.read(tmp_path / "brat", "ner", None, user_data.Columns()).came_divided


def test_a_classifier_that_pools_otherwise_is_refused(classifier: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(classifier, copy)
    described = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**described, "classifier_pooling": "cls"}))
    with pytest.raises(ConfigError, match="classifier_pooling is not mean"):
        Encoder.from_pretrained(copy)


@pytest.mark.parametrize(
    ("card", "access"), [("**Credentialed.**", "credentialed"), ("\nOpen: all training text is public", "open"), ("", "unknown")]
)
def test_public_labels_do_not_make_a_model_public(place: Path, tmp_path: Path, card: str, access: str) -> None:
    shutil.copytree(place / "model", tmp_path / "model")
    (tmp_path / "model" / "README.md").write_text(card)
    command = ["finetune", str(tmp_path / "model"), "--task", "ner", "--data", str(place / "brat"), "-o", str(tmp_path / "out"), "-q"]
    assert main([*command, "--set", "training.epochs=1", "--set", "access=open"]) == 0
    assert json.loads((tmp_path / "out" / "finetune.json").read_text())["access"] == access
    assert access_of(tmp_path / "out") == access
