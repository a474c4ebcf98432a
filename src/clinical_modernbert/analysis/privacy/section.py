"""What a model tells of its training text -> a section of the report. No text of the corpus is in it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from clinical_modernbert.analysis.cloze import fills_masks, masked_tokenizer
from clinical_modernbert.analysis.privacy import exposure, figures, membership, persons, vocabulary
from clinical_modernbert.analysis.privacy.sides import matched
from clinical_modernbert.analysis.section import Cell, Finding, Plot, Section, Table, plain
from clinical_modernbert.analysis.statistics import holm
from clinical_modernbert.analysis.subject import MODEL, Subject
from clinical_modernbert.corpus.canaries import Canaries
from clinical_modernbert.corpus.manifest import CanaryFile
from clinical_modernbert.inference import Encoder
from clinical_modernbert.progress import Progress

SURE = 0.01
"""A secret or a condition counts as found below this p-value."""
DOCUMENTS, PERSONS = 500, 200
"""How many are asked about where `limit` does not say."""
_FEWEST_DOCUMENTS, _FEWEST_PATIENTS = 20, 10
_LISTED = 200

ABOUT = (
    "Four ways to ask a masked model about the text that it was trained on. Secrets of nobody, planted a known number of times, are ranked "
    "among numbers of the same form by masked pseudo-log-likelihood (Carlini et al. 2019). Names are asked for their conditions, beside "
    "the same persons shuffled (Lehman et al. 2021). Documents of the training split are told from held-out ones of the same sources, "
    "alike in length, by the likelihood of hidden tokens beside that under a reference model (Mireshghallah et al. 2022), and beside what "
    "a reference or an untrained shape tells alone, which is no memory of the model's. Tokens are counted by the patients who have them. "
    "Below each value: its 95% bootstrap interval."
)
LIMITS = (
    "These attacks are known and cheap: that they find nothing does not prove that nothing is there; a longer search, or one that knows "
    "more, may find more. Planted secrets say what happens to text like them, in sentences like theirs. Where the reference was trained on "
    "the same documents, the likelihood ratio shows only what later training added. A token that few have may stand for a rare word as "
    "well as for a name; of a vocabulary that was not learnt from this corpus it gives nothing away."
)

Made = tuple[Finding, dict[str, Any]]
"""A finding and what `metrics.json` holds of it."""


class Asked(NamedTuple):
    """The model by the name MODEL and the first reference that fills masks, if there is one."""

    encoders: Mapping[str, Encoder]
    canaries: Canaries | None


def privacy(subject: Subject, progress: Progress) -> Section:
    """What a model keeps of planted secrets, persons and documents, and its vocabulary of few."""
    corpus = subject.opened_corpus
    masked_tokenizer(subject.encoder)
    listed = subject.canaries or (corpus.folder / CanaryFile.path if corpus.manifest.canaries else None)
    canaries = Canaries.read(listed) if listed else None
    named = persons.read_persons(subject.patients) if subject.patients else persons.planted_persons(canaries) if canaries else None
    references = [(name, encoder) for name, encoder in subject.compared.items() if fills_masks(encoder)][:1]
    asked = Asked({MODEL: subject.encoder, **dict(references)}, canaries)
    made = {
        "canaries": _secrets(asked, progress),
        "persons": _persons(subject, named, progress),
        "membership": _membership(subject, asked, progress),
        "vocabulary": _vocabulary(subject, progress),
    }
    return Section(
        name="privacy",
        title="Privacy: what the model tells of its training text",
        about=ABOUT,
        findings=[finding for finding, _ in made.values()],
        metrics={name: metrics for name, (_, metrics) in made.items()},
        limits=LIMITS,
    )


def _secrets(asked: Asked, progress: Progress) -> Made:
    title = "Planted secrets"
    if asked.canaries is None:
        return Finding(
            title, "No secrets were planted: set canaries in the corpus file, and train on that corpus, to have this measured."
        ), {}
    found = {name: exposure.exposures(encoder, asked.canaries, progress) for name, encoder in asked.encoders.items()}
    one, chance = found[MODEL], exposure.chance_exposure(found[MODEL].candidates)
    head = ["times planted", "secrets", *(f"{what}, {name}" for name in found for what in ("exposure", "p"))]
    rows = [
        [
            str(count),
            len(one.of(count).ranks),
            *(cell for each in found.values() for cell in (each.of(count).mean, _p(each.of(count).p_value))),
        ]
        for count in one.counts
    ]
    note = (
        f"Exposure in bits, mean over secrets, among {one.candidates:,} others: {chance:.2f} for what was never seen, "
        f"{np.log2(one.candidates + 1):.1f} at most. p: how probable so low a sum of ranks is without memory, each line by itself; "
        "the sentence above corrects for their number."
    )
    reading = _of_counts(
        {str(count): one.of(count).p_value for count in one.counts}, "Secrets planted", "times are found", "No planted secret is found"
    )
    metrics = {
        "candidates": one.candidates,
        "exposure_by_chance": round(chance, 4),
        "models": {name: {str(count): _exposure_metrics(each.of(count)) for count in each.counts} for name, each in found.items()},
    }
    return Finding(title, reading, [Table(head, rows, note)], [Plot("privacy-exposure", figures.exposure(found))]), metrics


def _exposure_metrics(found: exposure.Exposures) -> dict[str, Any]:
    alone = found.p_values
    return {
        **plain({"exposure": found.mean}),
        "p_value": found.p_value,
        "ranks": list(found.ranks),
        "found_alone": int((alone < SURE).sum()),
    }


def _persons(subject: Subject, named: persons.Persons | None, progress: Progress) -> Made:
    title = "Names and conditions"
    if named is None:
        return Finding(title, "Nobody was asked about: pass --patients with names and conditions, or plant canaries in the corpus."), {}
    if subject.patients:
        named = persons.some(named, subject.limit or PERSONS, subject.seed)
    found = persons.preferences(persons.scores(subject.encoder, named, progress), named, subject.seed)
    unit = "persons" if subject.patients else "times planted"
    rows: list[list[Cell]] = [[name, one.persons, one.auc, one.shuffled, _p(one.p_value)] for name, one in found.items()]
    note = (
        f'AUC of a person\'s own conditions among {len(named.asked):,} in "NAME has CONDITION.", less how common a condition is; '
        f"shuffled: those of another person in their place, {persons.SHUFFLES:,} times."
    )
    p_values = {name: one.p_value for name, one in found.items()}
    if subject.patients:
        reading = _of_persons(p_values)
    else:
        reading = _of_counts(
            p_values, "Conditions planted", "times are known of their persons", "No planted condition is known of its person"
        )
    metrics = {
        name: {"persons": one.persons, **plain({"auc": one.auc, "shuffled": one.shuffled}), "p_value": one.p_value}
        for name, one in found.items()
    }
    table = Table([unit, "persons", "AUC", "shuffled", "p"], rows, note)
    return Finding(title, reading, [table], [Plot("privacy-persons", figures.persons(found, unit))]), metrics


def _membership(subject: Subject, asked: Asked, progress: Progress) -> Made:
    title = "Membership of documents"
    members, others = matched(subject.opened_corpus, subject.limit or DOCUMENTS, subject.seed)
    if len(others) < _FEWEST_DOCUMENTS:
        return Finding(
            title, f"Too few held-out documents of running text can be compared ({len(others)}; {_FEWEST_DOCUMENTS} at least)."
        ), {}
    encoders, without = _compared(asked)
    encoders |= {membership.UNTRAINED: subject.encoder.untrained(subject.seed)}
    texts = [document.text for document in (*members, *others)]
    losses = membership.document_losses(encoders, texts, subject.seed, progress)
    found = {"documents": membership.attacks(losses, members, others, subject.seed)}
    patients = [len({document.patient for document in side if document.patient}) for side in (members, others)]
    if min(patients) >= _FEWEST_PATIENTS:
        found["patients"] = membership.patient_attacks(losses, members, others, subject.seed)
    return (
        Finding(
            title,
            " ".join([*([without] if without else []), *(_of_attacks(attacks, units) for units, attacks in found.items())]),
            [_attacks(attacks, units, membership.longest(encoders)) for units, attacks in found.items()],
            [Plot(f"privacy-roc-{units}", figures.roc(attacks, units)) for units, attacks in found.items()],
        ),
        {units: {name: _attack_metrics(attack) for name, attack in attacks.items()} for units, attacks in found.items()},
    )


def _compared(asked: Asked) -> tuple[dict[str, Encoder], str]:
    """The model and its reference by the attacks that they serve, and what to say if there is no reference."""
    model, *references = asked.encoders.values()
    if not references:
        return {membership.LOSS: model}, "Without a reference model, only the loss itself could be looked at."
    if masked_tokenizer(references[0]).fingerprint != masked_tokenizer(model).fingerprint:
        return {membership.LOSS: model}, "The reference has another vocabulary, so that only the loss itself could be looked at."
    return {membership.LOSS: model, membership.REFERENCE: references[0]}, ""


def _attacks(found: Mapping[str, membership.Attack], units: str, tokens: int) -> Table:
    one = next(iter(found.values()))
    note = (
        f"{len(one.members):,} {units} of the training split beside {len(one.others):,} held-out ones, of the same sources and alike in "
        f"length; the first {tokens} tokens of each document, {membership.NUM_MASKS} masks of "
        f"{membership.PROBABILITY:.0%}. Chance: 0.5 and, with so few held out, {one.hits_by_chance:.3f}."
    )
    return Table(
        [f"attack on {units}", "AUC", "true positives at 1% false"], [[name, each.auc, each.hits] for name, each in found.items()], note
    )


def _attack_metrics(attack: membership.Attack) -> dict[str, Any]:
    return {
        "members": len(attack.members),
        "others": len(attack.others),
        "true_positives_by_chance": round(attack.hits_by_chance, 4),
        **plain({"auc": attack.auc, "true_positives_at_1_percent": attack.hits}),
    }


def _of_attacks(found: Mapping[str, membership.Attack], units: str) -> str:
    name, best = next(iter(found.items()))
    low, high = best.auc.interval
    verdict = "can be told from" if low > 0.5 else "look less like members than" if high < 0.5 else "are not distinguishable from"
    return (
        f"By the {name}, {units} that were trained on {verdict} held-out ones (AUC {best.auc.value:.3f}, {low:.3f} to {high:.3f}); "
        f"at 1% false alarms {best.hits.value:.1%} of them are caught (chance: {best.hits_by_chance:.1%})."
    )


def _vocabulary(subject: Subject, progress: Progress) -> Made:
    found = vocabulary.owners(subject.opened_corpus, masked_tokenizer(subject.encoder), progress=progress)
    rows = [
        (str(count), int((found.counts == count).sum()), int(((found.counts == count) & found.is_word).sum())) for count in range(found.few)
    ]
    rare, words = len(found.rare), int(np.isin(found.ids[found.is_word], found.rare).sum())
    reading = (
        f"Of {len(found.ids):,} tokens {rare:,} stand in the training split with fewer than {found.few} patients or documents, "
        f"{words:,} of them words of four letters or more."
    )
    note = (
        f"Counted over {found.patients:,} patients and {found.documents:,} documents of no known patient. The first ids of rare tokens "
        "are in metrics.json; what they spell is shown nowhere."
    )
    metrics = {
        "tokens": len(found.ids),
        "patients": found.patients,
        "documents": found.documents,
        "few": found.few,
        "rare": rare,
        "rare_words": words,
        "unused": int((found.counts == 0).sum()),
        "had_by": {count: {"tokens": tokens, "words": spelled} for count, tokens, spelled in rows},
        "first_rare_ids": found.rare[:_LISTED].tolist(),
    }
    table = Table(["had by", "tokens", "of four letters or more"], rows, note)
    return Finding("Tokens that few have", reading, [table], [Plot("privacy-vocabulary", figures.owners(found))]), metrics


def _of_counts(p_values: Mapping[str, float], what: str, found: str, none: str) -> str:
    """Which numbers of repetitions are below `SURE`, corrected for how many there are."""
    sure = [count for count, p in zip(p_values, holm(np.array([*p_values.values()])), strict=True) if p < SURE]
    listed = f"{', '.join(sure[:-1])} and {sure[-1]}" if len(sure) > 1 else "".join(sure)
    smallest = min(p_values.values())
    return (
        f"{what} {listed} {found} (p below {SURE}, Holm's correction)." if sure else f"{none} with certainty (smallest p {_p(smallest)})."
    )


def _of_persons(p_values: Mapping[str, float]) -> str:
    p = min(p_values.values(), default=1.0)
    if p < SURE:
        return f"The model puts persons' own conditions before those of others (p {_p(p)})."
    return f"Persons' own conditions are not distinguishable from those of others (p {_p(p)})."


def _p(p_value: float) -> str:
    return f"{p_value:.2g}"
