"""A model -> texts with their ids and vectors, by which anybody can check another tool; and that check for an exported folder."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from pydantic import TypeAdapter

from clinical_modernbert import atomic
from clinical_modernbert.errors import CheckpointError, ConfigError, DataError
from clinical_modernbert.export.onnx import FULL_PRECISION, STATES, OnnxEncoder, package
from clinical_modernbert.inference import Encoder
from clinical_modernbert.model import hf

States = Callable[[npt.NDArray[np.int64]], npt.NDArray[np.float32]]
"""Ids of one text -> its last hidden states (tokens, hidden)."""

TEXTS = (
    "Chest pain since this morning.",
    " A leading space, two  inside, and one at the end ",
    "Pt c/o SOB x3d; denies CP/N/V. BP 142/88, HR 96, SpO2 94% RA.",
    "Started on lisinopril 10 mg PO daily for hypertension.",
    "No evidence of pulmonary embolism or deep vein thrombosis.",
    "Hb 7.9 g/dL, K+ 5.6 mmol/L, eGFR <15 mL/min/1.73 m²; β-blocker held.",
    "ALLERGIES:\n\t- penicillin (rash)\n\t- none other\n\nPLAN:\n1. Repeat CT.",
    "Fièvre à 38,5 °C, toux sèche, pas de dyspnée.",
    "Größe 178 cm, Gewicht 81 kg; Blutdruck 150/95 mmHg.",
    "患者は胸痛と息切れを訴えた。",
    "Feeling better today 🙂 — “no more pain”.",
    "Stable overnight, afebrile, tolerating diet, ambulating with assistance. " * 20,
)
"""Invented. White space, units, abbreviations and other scripts are what tools disagree on."""

TOLERANCE = 1e-4
"""The largest difference of a vector's element that still counts as the same, in fp32."""


@dataclass(frozen=True)
class Golden:
    """A text, its ids between [CLS] and [SEP], and the mean of its last hidden states, both of these included."""

    text: str
    input_ids: list[int]
    vector: list[float]


def write_golden(model: Path, output: Path, texts: Sequence[str] = TEXTS, *, overwrite: bool = False) -> int:
    """Write a line of JSON for each of `texts` that the model takes at once; returns how many were left out as longer.

    Raises:
        ConfigError: `output` exists and `overwrite` is false.
        DataError: no text is short enough.
    """
    if output.exists() and not overwrite:
        raise ConfigError(f"{output} exists. Choose another --output, or pass --overwrite.")
    encoder = Encoder.from_pretrained(model, device="cpu")
    ids = [[sequence.tolist() for sequence in encoder.sequences([text])] for text in texts]
    kept = [(text, parts[0]) for text, parts in zip(texts, ids, strict=True) if len(parts) == 1]
    if not kept:
        raise DataError(f"none of {len(texts)} texts fits into the context of {model}. Give shorter ones (--texts).")
    vectors = encoder.encode([text for text, _ in kept], pooling="mean")
    lines = [Golden(text, some, vector.tolist()) for (text, some), vector in zip(kept, vectors, strict=True)]
    atomic.write_text(output, "".join(json.dumps(asdict(line), ensure_ascii=False) + "\n" for line in lines))
    return len(texts) - len(kept)


def read_golden(path: Path) -> list[Golden]:
    """The lines of a file of `write_golden`.

    Raises:
        DataError: it is missing, empty or of another kind.
    """
    try:
        with path.open(encoding="utf-8") as file:
            found = [TypeAdapter(Golden).validate_json(line) for line in file]
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}. Write one with `cmbert export golden`.") from None
    except ValueError:
        raise DataError(f"{path}: a line without text, input_ids and vector. Write one with `cmbert export golden`.") from None
    if not found:
        raise DataError(f"{path}: no lines. Write one with `cmbert export golden`.")
    return found


def check_golden(folder: Path, golden: Iterable[Golden]) -> dict[str, float]:
    """Tool -> its largest difference from the vectors of `golden`: transformers, and onnxruntime where `folder` has a graph.

    A graph with a head gives no states and is left aside.

    Raises:
        CheckpointError: transformers makes other ids of a text, or a tool's vectors differ by more than `TOLERANCE`.
        ConfigError: a package is missing.
    """
    package("transformers")
    from transformers import AutoTokenizer

    hf.read_json(folder / "config.json")  # a folder that is none is said to be none before transformers looks for it elsewhere
    lines, found = list(golden), {}
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    for number, line in enumerate(lines, start=1):
        if tokenizer(line.text)["input_ids"] != line.input_ids:
            raise CheckpointError(f"{folder}: transformers makes other ids of text {number}. Export the model again.")
    for tool, states in _tools(folder).items():
        found[tool] = float(np.max([_difference(states, line) for line in lines]))
        if not found[tool] <= TOLERANCE:  # so that what is no number is found too
            raise CheckpointError(f"{folder}: vectors of {tool} differ by {found[tool]:.1g}. Export the model again.")
    return found


def _difference(states: States, line: Golden) -> float:
    """That of the vectors' elements which is largest; infinite where the vectors are not of one width."""
    mean = states(np.array(line.input_ids)).mean(0, dtype=np.float64)
    return float(np.abs(mean - line.vector).max()) if len(mean) == len(line.vector) else np.inf


def _tools(folder: Path) -> dict[str, States]:
    from transformers import AutoModel

    with _quiet():
        network = AutoModel.from_pretrained(folder, local_files_only=True, use_safetensors=True).eval()

    @torch.inference_mode()
    def padded(ids: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        states: npt.NDArray[np.float32] = network(input_ids=torch.from_numpy(ids[None])).last_hidden_state[0].float().numpy()
        return states

    found: dict[str, States] = {"transformers": padded}
    if (folder / FULL_PRECISION).is_file() and (graph := OnnxEncoder(folder / FULL_PRECISION)).output == STATES:
        found["onnxruntime"] = lambda ids: graph.states(ids[None], np.ones_like(ids)[None])[0]
    return found


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep from the user how transformers loads a folder, and which head of it is not needed for vectors."""
    logging = package("transformers.utils.logging")
    level, shown = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if shown:
            logging.enable_progress_bar()
