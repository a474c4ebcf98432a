"""Findings about languages and other text -> their section."""

from collections.abc import Mapping, Sequence
from typing import Any

from clinical_modernbert.analysis.cloze import fills_masks
from clinical_modernbert.analysis.languages import material
from clinical_modernbert.analysis.languages.answers import UNIFORM, UNIGRAM, Findings, Group, fertility, losses
from clinical_modernbert.analysis.languages.drawing import fertility_plot, loss_plot
from clinical_modernbert.analysis.languages.loss import longest
from clinical_modernbert.analysis.languages.material import ENGLISH, HELD_OUT
from clinical_modernbert.analysis.section import Cell, Finding, Section, Table, plain
from clinical_modernbert.analysis.statistics import Estimate
from clinical_modernbert.analysis.subject import MODEL, UNTRAINED, Subject
from clinical_modernbert.errors import ConfigError
from clinical_modernbert.inference import Encoder
from clinical_modernbert.progress import Progress
from clinical_modernbert.tokenization import Tokenizer

KNOWN_DOCUMENTS = 2000
"""Training documents of which the unigram baseline counts the tokens."""

ABOUT = (
    "How well the vocabulary fits each language of PubMed's abstracts, and how well the model predicts hidden words of it. Whole words are "
    "hidden, a seventh of a text at a time, the same ones whatever the vocabulary; an ideograph or kana is a word of its own. The cost is "
    f"in bits per UTF-8 byte, lower is better: guessing bytes alike costs {UNIFORM:.0f}; beside the model stand its shape untrained (mean "
    "of three seeds) and, where its corpus is given, guessing by how often each token comes in it. A byte is no unit of meaning: Cyrillic "
    "takes two a letter, Chinese three. So where the same abstract is there in English too, a language is laid beside it: how many times "
    "the tokens, and the bits, for what English says. Below each value: its 95% bootstrap interval over abstracts or documents."
)
LIMITS = (
    "Hidden words of several tokens are predicted token by token without knowing each other, so that a vocabulary that spells words out "
    "pays for it, and the number of [MASK] tokens tells how long a word is. Translated abstracts are not how a language's clinicians "
    "write. Text that the model was trained on is easier than text that it was not: the tables say how much of each there is where a "
    "corpus is given; of --pubmed it is not known. Text of one domain says nothing of another."
)


def languages(subject: Subject, progress: Progress) -> Section:
    """What other languages cost, and what was forgotten of other text."""
    if not (subject.pubmed or subject.corpus or subject.texts):
        raise ConfigError("there is no text in another language or of another domain. Pass --pubmed, --corpus, or --texts NAME=FILE.")
    spoken = material.in_languages(subject)
    if not spoken and not subject.texts:
        given = f"--pubmed {subject.pubmed}" if subject.pubmed else f"--corpus {subject.corpus}"
        raise ConfigError(f"no abstract in another language than English ({given}). Pass --pubmed, or --texts NAME=FILE.")
    if taken := {*spoken, material.HELD_OUT} & subject.texts.keys():
        raise ConfigError(f"--texts {min(taken)!a} is what a language or the held-out text is called. Give another name.")
    if not fills_masks(subject.encoder):
        raise ConfigError(f"{subject.model} has no masked-language head of ModernBERT. Give a pretrained model.")
    encoders = {MODEL: subject.encoder, **subject.compared}
    max_bytes = longest([one for one in encoders.values() if fills_masks(one)])
    texts = material.by_name(subject, max_bytes)
    findings = Findings({name: Group.of(name, found, max_bytes) for name, found in (spoken | texts).items()})
    fertility(findings, _of_own_vocabulary(encoders))
    known = [one.text for one in subject.documents("train", KNOWN_DOCUMENTS)] if subject.corpus else []
    losses(findings, subject.encoder, subject.compared, known, subject.seed, progress)
    return languages_section(
        findings, list(spoken), list(texts), next((name for name in subject.references if name in findings.bits_per_byte), None)
    )


def _of_own_vocabulary(encoders: Mapping[str, Encoder]) -> dict[str, Encoder]:
    """Those whose tokenizer is no earlier one's."""
    prints = {name: one.tokenizer.fingerprint if isinstance(one.tokenizer, Tokenizer) else name for name, one in encoders.items()}
    first = {fingerprint: name for name, fingerprint in reversed(prints.items())}
    return {name: one for name, one in encoders.items() if first[prints[name]] == name}


def languages_section(findings: Findings, spoken: Sequence[str], texts: Sequence[str], reference: str | None) -> Section:
    """The section: fertility and loss of the languages `spoken`, then the loss of `texts` beside that of `reference`."""
    found = [_fertility(findings, spoken), _loss(findings, spoken)] if spoken else []
    if texts:
        found.append(_forgetting(findings, texts, reference))
    title = "Languages and domains: what other text costs"
    return Section("languages", title, ABOUT, found, metrics(findings), LIMITS)


def metrics(findings: Findings) -> dict[str, Any]:
    """What `metrics.json` holds of each group: its size, and every figure of each vocabulary and model with its 95% interval."""
    return {name: _metrics(findings, group) for name, group in findings.groups.items()}


def _metrics(findings: Findings, group: Group) -> dict[str, Any]:
    fits = {name: found[group.name] for name, found in findings.fertility.items()}
    gains = {name: findings.gain(name, group.name) for name in findings.bits_per_byte if name != MODEL}
    beside = {name: one.beside_english for name, one in fits.items()}
    return {
        "documents": group.num_documents,
        "trained_documents": group.num_trained,
        "pieces": len(group.texts),
        "bytes": int(group.num_bytes.sum()),
        "bytes_per_token": plain({name: one.bytes_per_token for name, one in fits.items()}),
        "tokens_per_word": _known({name: one.per_word for name, one in fits.items()}),
        "tokens_beside_english": _known(beside),
        "bits_per_byte": plain({name: found[group.name] for name, found in findings.bits_per_byte.items()}),
        "bits_per_byte_more_than_model": _known(gains),
        "bits_beside_english": _known({MODEL: findings.beside_english.get(group.name)}),
    }


def _known(estimates: Mapping[str, Estimate | None]) -> dict[str, dict[str, float]]:
    return plain({name: one for name, one in estimates.items() if one is not None})


def _fertility(findings: Findings, spoken: Sequence[str]) -> Finding:
    names = list(findings.fertility)
    head = [
        "language",
        "abstracts",
        *(f"{name}: {what}" for name in names for what in ("tokens a word", "bytes a token", "beside English")),
    ]
    rows: list[list[Cell]] = []
    for language in spoken:
        fits = [findings.fertility[name][language] for name in names]
        cells = [cell for one in fits for cell in (one.per_word, one.bytes_per_token, one.beside_english)]
        rows.append([language, findings.groups[language].num_documents, *cells])
    note = (
        "Beside English: tokens for the same abstracts, as a multiple. A dash: white space sets no words apart, or too few are in both. "
        "A reference with the model's own vocabulary has no columns."
    )
    return Finding("Fertility", fertility_reading(findings, spoken), [Table(head, rows, note)], [fertility_plot(findings, spoken)])


def fertility_reading(findings: Findings, spoken: Sequence[str]) -> str:
    """One sentence on the model's vocabulary."""
    fits = {language: findings.fertility[MODEL][language] for language in spoken}
    others = sorted((one.bytes_per_token.value, language) for language, one in fits.items() if language != ENGLISH)
    sentence = f"A token carries {_range(others)} bytes of another language"
    if ENGLISH in fits:
        sentence += f", {fits[ENGLISH].bytes_per_token.value:.2f} of English"
    beside = sorted((one.beside_english.value, language) for language, one in fits.items() if one.beside_english)
    return f"{sentence}; the same abstracts take {_range(beside)} times the tokens of English." if beside else f"{sentence}."


def _loss(findings: Findings, spoken: Sequence[str]) -> Finding:
    names = list(findings.bits_per_byte)
    rows: list[list[Cell]] = []
    for language in spoken:
        group = findings.groups[language]
        costs = [findings.bits_per_byte[name][language] for name in names]
        rows.append([language, group.num_documents, group.num_trained, *costs, findings.beside_english.get(language)])
    head = ["language", "abstracts", "of them trained on", *names, "model: beside English"]
    note = "Bits per byte of hidden words; beside English: bits for the same abstracts, as a multiple of those in English."
    plot = loss_plot("languages-loss", findings, spoken, "Bits per byte by language")
    return Finding("Masked loss by language", loss_reading(findings, spoken), [Table(head, rows, note)], [plot])


def loss_reading(findings: Findings, spoken: Sequence[str]) -> str:
    """What the model knows of other languages, beside guessing bytes alike, guessing by frequency, and its untrained shape."""
    costs = findings.bits_per_byte
    others = [language for language in spoken if language != ENGLISH]
    baselines = [name for name in (UNIGRAM, UNTRAINED) if name in costs]
    better = [
        language
        for language in others
        if costs[MODEL][language].interval[1] < UNIFORM
        and all(costs[name][language].against(costs[MODEL][language]) > 0 for name in baselines)
    ]
    sentence = f"Hidden words cost {_range(sorted((costs[MODEL][language].value, language) for language in others))} bits a byte"
    if ENGLISH in spoken:
        sentence += f", in English {costs[MODEL][ENGLISH].value:.2f}"
    sentence += f"; the model does better than every baseline in {len(better)} of {len(others)} other languages"
    beside = sorted((one.value, language) for language, one in findings.beside_english.items() if language in others)
    if beside:
        sentence += f", and needs {_range(beside)} times the bits of English for the same abstracts"
    known = [findings.groups[language].num_trained for language in others]
    documents = sum(findings.groups[language].num_documents for language in others)
    if all(number is not None for number in known):
        sentence += f". Of these {documents:,} abstracts it was trained on {sum(number or 0 for number in known):,}"
    return f"{sentence}."


def _forgetting(findings: Findings, texts: Sequence[str], reference: str | None) -> Finding:
    names = list(findings.bits_per_byte)
    rows: list[list[Cell]] = []
    for name in texts:
        costs = [findings.bits_per_byte[who][name] for who in names]
        change = _change(findings, name, reference) if reference else None
        rows.append([name, findings.groups[name].num_documents, *costs, change])
    head = ["text", "documents", *names, f"model less {reference}" if reference else "change"]
    note = "Bits per byte of hidden words. The change is paired by document: above 0 the model does worse than the reference."
    plot = loss_plot("languages-texts", findings, texts, "Bits per byte of other text")
    return Finding("Other text, before and after", forgetting_reading(findings, texts, reference), [Table(head, rows, note)], [plot])


def forgetting_reading(findings: Findings, texts: Sequence[str], reference: str | None) -> str:
    """Whether training since the reference made other text dearer, text by text."""
    if reference is None:
        return "Without a reference with a masked-language head there is no before, and what training made the model forget is not known."
    parts = []
    for name in texts:
        change = _change(findings, name, reference)
        assert change is not None
        low, high = change.interval
        verdict = "dearer" if low > 0 else "cheaper" if high < 0 else "not distinguishably dearer or cheaper"
        what = "text of the corpus that was held out" if name == HELD_OUT else name
        parts.append(f"{what} became {verdict} ({change.value:+.3f} bits a byte, {low:+.3f} to {high:+.3f})")
    return f"Since {reference}, {'; '.join(parts)}."


def _change(findings: Findings, name: str, reference: str) -> Estimate | None:
    costs = findings.bits_per_byte
    return costs[MODEL][name].minus(costs[reference][name])


def _range(values: Sequence[tuple[float, str]]) -> str:
    """The least and the greatest of sorted (value, name)."""
    (low, first), (high, last) = values[0], values[-1]
    return f"{low:.2f} ({first})" if first == last else f"{low:.2f} ({first}) to {high:.2f} ({last})"
