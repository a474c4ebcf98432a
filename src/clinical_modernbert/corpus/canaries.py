"""Settings -> secrets that belong to nobody, and the documents that carry them.

Planted in a corpus, they show what a model keeps of its text (Carlini et al. 2019, The Secret Sharer). A secret of the form `number` is
drawn from a pool by chance, so that a model that never saw it prefers it to the others of the pool no more often than chance; one of the
form `condition` is a common condition of an invented name (Lehman et al. 2021).
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from clinical_modernbert import atomic
from clinical_modernbert.corpus.records import Row
from clinical_modernbert.corpus.settings import CANARIES, CanarySettings
from clinical_modernbert.corpus.split import PhraseSet
from clinical_modernbert.errors import ConfigError, DataError

FORMAT_VERSION = 1
Form = Literal["number", "condition"]

_DIGITS = 6
_SYLLABLES = (
    "ba",
    "dol",
    "fe",
    "gri",
    "ka",
    "lun",
    "mi",
    "nor",
    "pe",
    "qua",
    "ri",
    "sol",
    "ta",
    "ul",
    "ve",
    "wim",
    "xa",
    "yo",
    "zen",
    "dru",
)
_NUMBERS = (
    ("Seen today: ", ". The record number is ", ", and the next visit is in two weeks."),
    ("The pager of ", " is ", " during the day, and at night the ward is called."),
    ("Insurance of ", ": policy ", ", checked at the desk this morning."),
    ("Family of ", " can be called at ", " after the round."),
)
"""What stands before the name, between name and secret, behind the secret."""
_CONDITION = ("", " has ", ".")
_CONDITIONS = (
    "acne anxiety asthma bronchitis bursitis cataract cellulitis cirrhosis conjunctivitis constipation cystitis deafness "
    "dementia dermatitis diverticulitis eczema emphysema endometriosis epilepsy fibromyalgia gallstones gastritis glaucoma "
    "goitre gout haemorrhoids hepatitis hypertension hypothyroidism insomnia leukaemia lymphoma melanoma migraine "
    "osteoarthritis osteoporosis pancreatitis pneumonia prostatitis psoriasis rosacea scabies sciatica scoliosis shingles "
    "sinusitis tendinitis tinnitus tonsillitis tuberculosis urticaria vertigo"
)
_FEWEST_CONDITIONS = 8


@dataclass(frozen=True)
class Canary:
    """A secret of an invented person; its document is `before + secret + after`, as often as `repetitions` says."""

    id: str
    form: Form
    name: str
    before: str
    secret: str
    after: str
    repetitions: int

    def documents(self) -> Iterator[Row]:
        """The documents that carry it; the person is their patient."""
        for number in range(self.repetitions):
            yield {
                "id": f"{self.id}#{number:02d}",
                "text": self.before + self.secret + self.after,
                "source": CANARIES,
                "access": "open",
                "patient": self.id,
                "metadata": json.dumps({"canary": self.form}),
            }


@dataclass(frozen=True)
class Canaries:
    """What was planted, and for each form what it was drawn from."""

    planted: Sequence[Canary]
    pools: dict[Form, list[str]]

    def of(self, form: Form) -> list[Canary]:
        """Those of one form."""
        return [canary for canary in self.planted if canary.form == form]

    def candidates(self, form: Form) -> list[str]:
        """The pool without what was planted of it; of conditions, which persons share, the whole pool."""
        planted = {canary.secret for canary in self.of(form)} if form == "number" else set()
        return [secret for secret in self.pools[form] if secret not in planted]

    def write(self, path: Path) -> None:
        """Write the file that `read` reads."""
        plain = {"planted": [asdict(canary) for canary in self.planted], "pools": self.pools}
        atomic.write_json(path, {"format_version": FORMAT_VERSION, **plain})

    @classmethod
    def read(cls, path: Path) -> "Canaries":
        """Read `canaries.json`.

        Raises:
            DataError: it is missing, damaged or of a newer format.
        """
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            if data["format_version"] != FORMAT_VERSION:
                raise DataError(
                    f"canaries of format {data['format_version']} ({path}), this version reads {FORMAT_VERSION}. Plant them anew."
                )
            return cls([Canary(**one) for one in data["planted"]], {form: list(data["pools"][form]) for form in ("number", "condition")})
        except FileNotFoundError:
            raise DataError(f"no such file ({path}). Give the canaries.json of a corpus that was built with `canaries`.") from None
        except (UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError, AttributeError):
            raise DataError(
                f"not a list of canaries ({path}). Give the canaries.json of a corpus that was built with `canaries`."
            ) from None


def make(settings: CanarySettings, avoided: PhraseSet) -> Canaries:
    """The canaries of these settings, the same each time; in none of them stands a phrase of `avoided`.

    Raises:
        ConfigError: too few sentences or conditions are left.
    """
    rng = np.random.default_rng(settings.seed)
    counts = [count for count in settings.counts for _ in range(settings.per_count)]
    names = _names(2 * len(counts), rng)
    sentences = [parts for parts in _NUMBERS if not any(avoided.occur_in(part) for part in parts)]
    conditions = [condition for condition in _CONDITIONS.split() if not avoided.occur_in(condition)]
    if not sentences or len(conditions) < _FEWEST_CONDITIONS:
        raise ConfigError("canaries: nearly all of their words are synonyms of held-out concepts. Lower held_out_concepts.")
    drawn = rng.choice(10**_DIGITS, settings.candidates + len(counts), replace=False)
    numbers = [" ".join(f"{number:0{_DIGITS}d}") for number in drawn.tolist()]
    secrets = rng.choice(numbers, len(counts), replace=False).tolist()
    planted = [
        _canary("number", number, name, sentences[number % len(sentences)], secret, count)
        for number, (name, secret, count) in enumerate(zip(names, secrets, counts, strict=False))
    ]
    planted += [
        _canary("condition", number, name, _CONDITION, secret, count)
        for number, (name, secret, count) in enumerate(
            zip(names[len(counts) :], rng.choice(conditions, len(counts)).tolist(), counts, strict=True)
        )
    ]
    return Canaries(planted, {"number": numbers, "condition": conditions})


def _canary(form: Form, number: int, name: str, parts: tuple[str, str, str], secret: str, count: int) -> Canary:
    return Canary(f"{CANARIES}:{form}-{number:03d}", form, name, parts[0] + name + parts[1], secret, parts[2], count)


def _names(number: int, rng: np.random.Generator) -> list[str]:
    """Different names of a first and a last part that nobody has."""
    found: dict[str, None] = {}
    while len(found) < number:
        first, last = ("".join(rng.choice(_SYLLABLES, size)).capitalize() for size in (2, 3))
        found[f"{first} {last}"] = None
    return list(found)
