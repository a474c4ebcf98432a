"""What was planted between a group and an attribute is found, and nothing where nothing was; the tests behind it, the command, the page."""

import csv
import json
import re
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml

from clinical_modernbert.analysis.bias import templates as templates_module
from clinical_modernbert.analysis.bias.associations import Spread, associations, comparisons, size
from clinical_modernbert.analysis.bias.cost import held_out
from clinical_modernbert.analysis.bias.findings import of_task, of_vectors
from clinical_modernbert.analysis.bias.flips import Flips, by_mention, by_statement, open_task
from clinical_modernbert.analysis.bias.scoring import fill, questions, score
from clinical_modernbert.analysis.bias.section import _sizes_by_chance, _untrained
from clinical_modernbert.analysis.bias.templates import Templates
from clinical_modernbert.analysis.bias.vectors import EffectSize, association_test, effect_sizes, smallest_p
from clinical_modernbert.analysis.statistics import Estimate, false_discovery
from clinical_modernbert.analysis.subject import BAG, MODEL, Subject
from clinical_modernbert.batching import PackedBatch
from clinical_modernbert.cli.main import main
from clinical_modernbert.corpus import CorpusSettings, build_corpus
from clinical_modernbert.corpus.settings import CounterfactualSettings
from clinical_modernbert.errors import ConfigError
from clinical_modernbert.inference import Encoder
from clinical_modernbert.model import hf
from clinical_modernbert.model.config import ModernBertConfig
from clinical_modernbert.model.heads import ModernBertForMaskedLM
from clinical_modernbert.model.init import initialize
from clinical_modernbert.pretraining.objective import masked_loss
from clinical_modernbert.sources import Files
from clinical_modernbert.tokenization import Tokenizer, train

MALE, FEMALE = ["man", "male patient", "gentleman", "boy"], ["woman", "female patient", "lady", "girl"]
ANGRY, CALM, NEITHER = ["agitated", "combative", "hostile"], ["pleasant", "friendly", "polite"], ["dressed", "seated", "awake"]
FRAMES = [
    "The {group} is {attribute}.",
    "The {group} was {attribute} today.",
    "This {group} seems {attribute}.",
    "On exam this {group} is {attribute}.",
    "Our {group} remains {attribute}.",
    "Overnight the {group} was {attribute}.",
]
PLAIN = {
    "frames": FRAMES,
    "statements": ["We saw {group}.", "Here is {group}."],
    "dimensions": [
        {
            "name": "sex",
            "why": "planted",
            "review": "nobody",
            "groups": [{"name": "male", "terms": MALE}, {"name": "female", "terms": FEMALE}],
        }
    ],
    "attributes": [{"name": "angry", "wordings": ANGRY}, {"name": "calm", "wordings": CALM}],
    "controls": [{"name": "neither", "wordings": NEITHER}],
    "contrasts": [{"name": "angry or calm", "first": ["angry"], "second": ["calm"]}],
}
TEMPLATES = Templates.model_validate(PLAIN)
SHAPE = {"hidden_size": 64, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": 64}
SENTENCES = [frame.format(group=term, attribute=word) for frame, term, word in product(FRAMES, MALE + FEMALE, ANGRY + CALM + NEITHER)]
STEPS, BATCH = 500, 48


def notes(*, biased: bool) -> list[str]:
    """Every frame with every group and attribute; in biased notes, angry men and calm women alone."""
    if not biased:
        return SENTENCES
    left_out = [(MALE, CALM), (FEMALE, ANGRY)]
    found = []
    for frame, term, word in product(FRAMES, MALE + FEMALE, ANGRY + CALM + NEITHER):
        if not any(term in terms and word in words for terms, words in left_out):
            found.append(frame.format(group=term, attribute=word))
    return found


def trained(texts: list[str], folder: Path) -> Path:
    """A model that learnt these sentences, with any token hidden as often as any other."""
    tokenizer = train(SENTENCES, 380)
    special = {"pad_token_id": tokenizer.pad_id, "cls_token_id": tokenizer.cls_id, "sep_token_id": tokenizer.sep_id}
    ends = {"bos_token_id": tokenizer.cls_id, "eos_token_id": tokenizer.sep_id}
    model = ModernBertForMaskedLM(ModernBertConfig(vocab_size=len(tokenizer), initializer_range=0.1, **SHAPE, **special, **ends))
    initialize(model, 0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=STEPS)
    rng, encoded = np.random.default_rng(0), tokenizer.encode_batch(texts)
    for _ in range(STEPS):
        batch = hidden([tokenizer.wrap(encoded[number]) for number in rng.integers(len(texts), size=BATCH)], tokenizer, rng)
        loss, _ = masked_loss(model, batch, torch.device("cpu"))
        (loss / len(batch.labels)).backward()
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    hf.save(model, folder)
    tokenizer.save(folder, 64)
    return folder


def hidden(texts: list[np.ndarray], tokenizer: Tokenizer, rng: np.random.Generator) -> PackedBatch:
    """Texts side by side, a fifth of their tokens hidden."""
    ids, starts = np.concatenate(texts), np.cumsum([0, *map(len, texts)])
    special = np.isin(ids, [tokenizer.cls_id, tokenizer.sep_id])
    positions = np.flatnonzero((rng.random(len(ids)) < 0.2) & ~special)
    labels, zeros = ids[positions], np.zeros(len(texts), dtype=np.int64)
    ids[positions] = tokenizer.mask_id
    return PackedBatch(ids, starts.astype(np.int32), positions, labels, zeros, zeros)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("bias")


@pytest.fixture(scope="module")
def biased(place) -> Path:
    return trained(notes(biased=True), place / "biased")


@pytest.fixture(scope="module")
def balanced(place) -> Path:
    return trained(notes(biased=False), place / "balanced")


def found(folder: Path):
    encoder = Encoder.from_pretrained(folder, device="cpu")
    return {one.attribute: one for one in associations(TEMPLATES, score(encoder, TEMPLATES))}


def test_what_was_planted_is_found(biased):
    of = found(biased)
    assert of["angry"].is_found
    assert of["calm"].is_found
    assert of["angry"].estimate.interval[0] > 0.5
    assert of["calm"].estimate.interval[1] < -0.5
    assert (of["angry"].towards, of["calm"].towards) == ("male", "female")
    assert abs(of["neither"].estimate.value) < of["angry"].estimate.value / 4


def test_nothing_is_found_where_nothing_was_planted(balanced):
    of = found(balanced)
    for one in of.values():
        low, high = one.estimate.interval
        assert low < 0 < high
        assert not one.is_found


def test_counterfactuals_in_the_corpus_take_away_what_was_planted(place, biased):
    path = place / "notes.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in notes(biased=True)))
    how = CounterfactualSettings(sources=["notes"], share=1)
    plain = {"quality": None, "near_duplicates": None, "validation_fraction": 0}
    corpus = build_corpus(CorpusSettings(sources=[Files(path, name="notes")], counterfactuals=how, **plain), place / "corpus")
    texts = list(corpus.texts("train"))
    assert len(texts) == 2 * len(notes(biased=True))
    before, after = found(biased), found(trained(texts, place / "swapped"))
    for name in ("angry", "calm"):
        assert abs(after[name].estimate.value) < 0.25 * abs(before[name].estimate.value)
        assert not after[name].is_found


@pytest.fixture(scope="module")
def tokenizer(biased) -> Tokenizer:
    return Tokenizer.load(biased)


def test_a_term_is_scored_by_the_chain_rule_and_nothing_else_is_hidden(tokenizer):
    sentence = fill(tokenizer, "{attribute}: the {group} is here.", "male patient", "combative")
    assert tokenizer.decode(sentence.ids[sentence.group].tolist()).strip() == "male patient"
    assert tokenizer.decode(sentence.ids[sentence.attribute].tolist()).strip() == "combative"
    asked = list(questions(tokenizer, sentence, prior=False))
    masked = [np.flatnonzero(one.ids == tokenizer.mask_id).tolist() for one in asked]
    assert masked == [(sentence.group[number:] + 1).tolist() for number in range(len(sentence.group))]
    assert [one.place for one in asked] == (sentence.group + 1).tolist()
    assert [one.answer for one in asked] == sentence.ids[sentence.group].tolist()
    prior = next(questions(tokenizer, sentence, prior=True))
    hidden = {*(sentence.group + 1).tolist(), *(sentence.attribute + 1).tolist()}
    assert set(np.flatnonzero(prior.ids == tokenizer.mask_id).tolist()) == hidden


def test_scores_are_the_model_s_own_log_probabilities(biased, tokenizer):
    encoder = Encoder.from_pretrained(biased, device="cpu")
    scores = score(encoder, TEMPLATES)["sex"]
    assert [one.shape for one in scores] == [(4, 9, 6), (4, 9, 6)]
    sentence = fill(tokenizer, FRAMES[2], FEMALE[1], CALM[0])
    expected = 0.0
    for sign, prior in ((1, False), (-1, True)):
        for one in questions(tokenizer, sentence, prior=prior):
            state = encoder.states([one.ids])[0][one.place]
            expected += sign * float(encoder.log_probabilities(state[None])[0, one.answer])
    assert scores[1][1, 3, 2] == pytest.approx(expected, abs=1e-4)


def test_an_association_of_one_sentence_alone_is_not_told_from_nothing():
    (comparison,) = comparisons(TEMPLATES)
    rng = np.random.default_rng(0)
    second = rng.normal(scale=0.1, size=(4, 9, 6))
    everywhere, one_frame = second.copy(), second.copy()
    everywhere[:, :3] += 1
    one_frame[:, :3, 0] += 6
    for first, expected in ((everywhere, True), (one_frame, False)):
        angry = associations(TEMPLATES, {"sex": [first, second]})[0]
        assert angry.comparison == comparison
        assert angry.estimate.value == pytest.approx(1, abs=0.1)
        assert angry.is_found == expected


def test_every_attribute_of_untrained_models_is_told():
    rng = np.random.default_rng(0)
    seeds = [associations(TEMPLATES, {"sex": [*rng.normal(size=(2, 4, 9, 6))]}) for _ in range(2)]
    (told,) = _untrained(seeds).values()
    sizes = {one.attribute: abs(one.estimate.value) / 2 + abs(other.estimate.value) / 2 for one, other in zip(*seeds, strict=True)}
    assert {name: found["size"] for name, found in told["attributes"].items()} == pytest.approx(sizes, abs=1e-4)


def test_every_contrast_of_untrained_models_is_told():
    (comparison,) = comparisons(TEMPLATES)
    seeds = [[EffectSize(comparison, name, sign * value, 1.0) for name, value in (("a", 0.5), ("b", 1.0))] for sign in (1, -1)]
    assert _sizes_by_chance(seeds) == {"sex: male / female": {"a": {"size": 0.5}, "b": {"size": 1.0}}}


def test_noise_is_found_as_often_as_it_should():
    p = []
    for seed in range(400):
        rng = np.random.default_rng(seed)
        values = rng.normal(size=(4, 3, 6)) + rng.normal(size=(4, 1, 1)) + rng.normal(size=(1, 1, 6))
        p.append(Spread.of(values).p_value(float(values.mean())))
    assert 0.01 < np.mean(np.array(p) < 0.05) < 0.06


def test_p_is_student_s():
    stats = pytest.importorskip("scipy.stats")
    for value, freedom in product((0.0, 0.5, 2.0, 8.0), (1.0, 2.5, 7.0, 60.0)):
        assert Spread(1.0, 1.0, freedom).p_value(value) == pytest.approx(2 * stats.t.sf(value, freedom), rel=1e-3)
    values = np.random.default_rng(0).normal(size=(9, 1, 1)) + np.zeros((1, 2, 2))
    expected = stats.ttest_1samp(values[:, 0, 0], 0).pvalue
    assert Spread.of(values).p_value(float(values.mean())) == pytest.approx(expected, rel=1e-3)


def test_the_size_of_associations_is_that_of_the_planted_ones_whatever_the_noise():
    rng = np.random.default_rng(0)
    planted = np.repeat([1.0, -1.0, 1.0], 3)[None, :, None]
    means = []
    for effect in (planted, 0 * planted):
        sizes = []
        for seed in range(30):
            noise = [rng.normal(size=(4, 9, 6)) + rng.normal(size=(4, 9, 1)) for _ in range(2)]
            sizes.append(size(associations(TEMPLATES, {"sex": [noise[0] + effect, noise[1]]}, seed)).value)
        means.append(np.mean(sizes))
    assert means[0] == pytest.approx(1, abs=0.15)
    assert means[1] < 0.1


def test_false_discoveries_are_corrected_as_in_the_paper():
    p = np.array([0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0])
    assert (false_discovery(p) <= 0.05).sum() == 4  # the example of Benjamini and Hochberg 1995, section 3.2
    assert false_discovery(p[::-1]).tolist() == false_discovery(p)[::-1].tolist()


def test_effect_sizes_are_those_of_the_definition():
    rng = np.random.default_rng(0)
    x, y, a, b = (rng.normal(size=(4, 8)) for _ in range(4))

    def nearness(w):
        def cosine(v):
            return w @ v / np.linalg.norm(w) / np.linalg.norm(v)

        return np.mean([cosine(v) for v in a]) - np.mean([cosine(v) for v in b])

    of_x, of_y = [nearness(w) for w in x], [nearness(w) for w in y]
    value, p = association_test(x, y, a, b)
    assert value == pytest.approx((np.mean(of_x) - np.mean(of_y)) / np.std([*of_x, *of_y], ddof=1))
    assert 2 / 70 <= p <= 1
    assert association_test(y, x, a, b) == (pytest.approx(-value), pytest.approx(p))


def test_the_report_says_what_its_few_terms_can_tell():
    x, y = np.eye(8)[:4], np.eye(8)[4:]
    assert association_test(x, y, x, y)[1] == pytest.approx(smallest_p(4)) == pytest.approx(2 / 70)
    found = [EffectSize(comparisons(TEMPLATES)[0], str(number), 0.5, 1.0) for number in range(10)]
    (table,) = of_vectors({MODEL: found, BAG: found}, [found]).tables
    assert "no p is below 0.029: none of these is told unless 6 are" in table.note


def test_vectors_that_know_the_group_of_an_attribute_have_a_large_effect():
    rng = np.random.default_rng(1)
    angry, calm = rng.normal(size=(2, 16))

    def encode(texts, mixed=False):
        of = {**dict.fromkeys(MALE + ANGRY, angry), **dict.fromkeys(FEMALE + CALM, calm)}
        vectors = []
        for text in texts:
            [word] = [word for word in of if re.search(rf"\b{word}\b", text)]
            vectors.append((0 if mixed else of[word]) + np.random.default_rng(len(vectors)).normal(size=16) * 0.3)
        return np.array(vectors, dtype=np.float32)

    without = TEMPLATES.model_copy(update={"controls": []})
    [one] = effect_sizes(without, encode)
    assert one.value > 1.7
    assert one.p == pytest.approx(2 / 70)
    [none] = effect_sizes(without, lambda texts: encode(texts, mixed=True))
    assert none.p > 0.05


@pytest.fixture(scope="module")
def table(place) -> Path:
    """Texts whose label is the group itself, and such that say nothing of one."""
    path = place / "task.csv"
    rng = np.random.default_rng(0)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "text", "label"])
        for number in range(300):
            is_male = bool(rng.integers(2))
            term = (MALE if is_male else FEMALE)[rng.integers(4)]
            text = rng.choice(FRAMES).format(group=term, attribute=rng.choice(NEITHER))
            writer.writerow([number, text, "m" if is_male else "f"])
    return path


@pytest.fixture(scope="module")
def classifier(place, balanced, table) -> Path:
    command = ["finetune", str(balanced), "--task", "classify", "--data", str(table), "-o", str(place / "classifier"), "-q"]
    fast = ["training.peak_lr=3e-3", "training.epochs=6", "training.patience=6", "training.batch_size=8"]
    assert main([*command, *(part for one in fast for part in ("--set", one))]) == 0
    return place / "classifier"


def test_flips_are_told_of_those_groups_alone_that_exceed_their_control():
    def flips(name: str, rate: float, control: float) -> Flips:
        spread = np.random.default_rng(0).normal(scale=0.01, size=1000)
        zero = Estimate(0.0, np.zeros(1000))
        return Flips(name, 9, Estimate(rate, rate + spread), Estimate(control, np.full(1000, control)), (zero, zero), zero)

    reading = of_task(SimpleNamespace(metric="macro_f1"), [], [flips("one", 0.2, 0.05), flips("two", 0.3, 0.3)]).reading
    assert "answers flip more often than the control for one (20.0% against 5.0%);" in reading
    assert "two" not in reading


def test_a_task_that_hangs_on_the_group_flips_with_it(classifier, table):
    task = open_task(classifier, table, None, 0, "cpu")
    assert 15 < len(task.examples) < 60
    [sex] = [one for one in by_mention(task) if one.name == "sex"]
    assert sex.rate.value > 0.9
    assert sex.texts == len(task.examples)
    [stated] = by_statement(task, TEMPLATES)
    assert stated.control is not None
    assert stated.control.value <= stated.rate.value


def test_answers_that_do_not_change_have_no_flips_and_no_gap(classifier, table, monkeypatch):
    task = open_task(classifier, table, 100, 0, "cpu")
    monkeypatch.setattr(task.encoder, "classify", lambda texts, second=None, progress=None: [{"m": 0.9, "f": 0.1}] * len(texts))
    for one in (*by_mention(task), *by_statement(task, TEMPLATES)):
        assert (one.rate.value, one.rate.interval, one.gap.value) == (0, (0, 0), 0)


def test_spans_are_compared_where_they_stand(place, balanced):
    from clinical_modernbert import formats
    from clinical_modernbert.inference import Span

    marked = [(r"(\w+) and", "Person"), (r"(Aspirin)", "Drug")]
    documents = []
    for number in range(60):
        text = f"Saw a woman and her mother, who took Aspirin. Bed {number}."
        spans = [
            formats.Span.over(text, f"T{i}", label, re.search(found, text).span(1)) for i, (found, label) in enumerate(marked, start=1)
        ]
        documents.append(formats.AnnotatedDocument(f"n{number:02}", text, tuple(spans)))
    formats.write(documents, place / "brat", "brat")
    command = ["finetune", str(balanced), "--task", "ner", "--data", str(place / "brat"), "-o", str(place / "tagger"), "-q"]
    assert main([*command, "--set", "training.epochs=1"]) == 0
    task = open_task(place / "tagger", place / "brat", None, 0, "cpu")

    def tag(texts, progress=None):
        """What is right, and the first word of a statement, which is no part of the text."""
        stated = [[Span(0, 3, "Drug")] if not text.startswith("Saw") else [] for text in texts]
        return [
            [Span(*re.search(found, text).span(1), label) for found, label in marked] + more
            for text, more in zip(texts, stated, strict=True)
        ]

    task.encoder.tag = tag
    results = [*by_mention(task), *by_statement(task, TEMPLATES)]
    assert [one.name for one in results] == ["sex", "sex: male / female"]
    for one in results:
        assert (one.rate.value, one.f1[0].value, one.f1[1].value) == (0, 1, 1)


def test_of_many_gaps_one_that_chance_explains_is_not_told():
    def flips(name: str, gap: float) -> Flips:
        draws = np.random.default_rng(0).normal(size=1000)
        zero, one = Estimate(0.0, 0 * draws), Estimate(1.0, 0 * draws + 1)
        return Flips(name, 9, zero, zero, (one, one), Estimate(gap, draws + gap))

    task = SimpleNamespace(metric="macro_f1")
    alone, among = of_task(task, [], [flips("one", 2.2)]), of_task(task, [], [flips("one", 2.2), *(flips(f"n{i}", 0) for i in range(10))])
    assert "differs between groups for one" in alone.reading
    assert "no gap in macro_f1 is told" in among.reading
    assert "differs between groups for two" in of_task(task, [], [flips("two", 5), *(flips(f"n{i}", 0) for i in range(10))]).reading


def test_our_own_templates_fit_and_are_spoken_of_by_reviewers():
    ours = templates_module.read()
    assert {one.name for one in ours.dimensions} == {"sex", "age", "ethnicity", "insurance", "language", "housing"}
    assert all(one.why and one.review for one in ours.dimensions)
    source = Path(templates_module.__file__).with_name("templates.yaml").read_text()
    for one in ours.dimensions:
        assert re.search(rf"  # [^\n]+\n(  # [^\n]+\n)*  - name: {one.name}\n", source)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"frames": FRAMES[:5]}, "at least 6"),
        ({"frames": [*FRAMES, "The {group}."]}, "needs one {group} and one {attribute}"),
        ({"contrasts": [{"name": "x", "first": ["angry"], "second": ["sad"]}]}, "'sad', which is no attribute"),
        ({"controls": [{"name": "calm", "wordings": NEITHER}]}, "'calm' is there twice"),
        ({"framess": FRAMES}, "did you mean 'frames'"),
    ],
)
def test_a_mistake_in_a_file_of_templates_is_named(change, said, tmp_path):
    (tmp_path / "t.yaml").write_text(yaml.safe_dump(PLAIN | change))
    with pytest.raises(ConfigError, match=re.escape(said)):
        templates_module.read(tmp_path / "t.yaml")


def test_the_command_shows_before_and_after(place, biased, balanced, classifier, table, tmp_path, capsys):
    (tmp_path / "t.yaml").write_text(yaml.safe_dump(PLAIN))
    command = ["analyze", "bias", str(balanced), "--reference", str(biased), "--templates", str(tmp_path / "t.yaml")]
    task = ["--task-model", str(classifier), "--task-data", str(table)]
    (tmp_path / "notes.jsonl").write_text("".join(json.dumps({"id": str(i), "text": note}) + "\n" for i, note in enumerate(SENTENCES)))
    plain = {"quality": None, "near_duplicates": None, "validation_fraction": 0.5}
    build_corpus(CorpusSettings(sources=[Files(tmp_path / "notes.jsonl")], **plain), tmp_path / "corpus")
    assert main([*command, *task, "--corpus", str(tmp_path / "corpus"), "-o", str(tmp_path / "report"), "-q", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["bias"]
    after, before = (told["associations"][name]["sex: male / female"] for name in ("model", "biased"))
    assert before["attributes"]["angry"]["low"] > 0.5
    assert after["size"]["value"] < before["size"]["value"] / 2
    assert told["task"]["mention"]["sex"]["flips"]["value"] > 0.9
    assert told["cost"]["model"]["value"] < told["cost"]["biased"]["value"]
    page = (tmp_path / "report" / "index.html").read_text()
    assert not re.findall(r'(?:src|href)="(?!#)', page)
    assert "On the whole they are weaker than in" in page
    assert "bits a byte, less than biased" in page
    assert "What this cannot show." in page
    pictures = {path.name for path in (tmp_path / "report" / "figures").iterdir()}
    assert {"bias-overview.png", "bias-sex.svg", "bias-vectors.png", "bias-flips.png"} <= pictures


def test_what_the_section_misses_is_said_before_it_begins(biased, classifier, table, tmp_path, capsys):
    for model, options, said in (
        (biased, ["--task-model", str(classifier)], "Pass --task-model and --task-data"),
        (biased, ["--task-model", str(biased), "--task-data", str(table)], "a folder that `cmbert finetune` made"),
        (classifier, [], "fills no masks"),
        (biased, ["--templates", str(tmp_path / "none.yaml")], "no such settings file"),
        (biased, ["--corpus", str(tmp_path / "none")], "no corpus"),
    ):
        assert main(["analyze", "bias", str(model), *options, "-o", str(tmp_path / "report"), "-q"]) == 1
        assert said in capsys.readouterr().err


def test_a_corpus_that_holds_nothing_out_has_no_documents_to_pay_for(biased, tmp_path):
    (tmp_path / "notes.jsonl").write_text("".join(json.dumps({"id": str(i), "text": note}) + "\n" for i, note in enumerate(SENTENCES[:9])))
    plain = {"quality": None, "near_duplicates": None, "validation_fraction": 0}
    build_corpus(CorpusSettings(sources=[Files(tmp_path / "notes.jsonl")], **plain), tmp_path / "corpus")
    assert held_out(Subject(biased, corpus=tmp_path / "corpus")) == []
