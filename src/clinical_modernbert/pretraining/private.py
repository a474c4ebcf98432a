"""A phase of private masked language modelling: differential privacy by patient (Abadi et al. 2016, algorithm 1, patients for examples).

Every patient is in a step with the same probability, by itself. A patient is one row: as many of their documents as fit, in a drawn order.
The gradient of the mean loss of that row is scaled down to `max_grad_norm`; the gradients are added up, Gaussian noise is added to the
sum, and all is divided by the number of patients that was to be expected. Whatever a patient wrote, the sum moves by at most that norm.

Nothing else that moves the weights may look at the text: a step counts for `step_tokens` tokens, whatever was drawn, and is never skipped
for its loss. All chance of the phase, whom it draws, what it masks and its noise, is a function of the step and of the run's secret
alone, because whoever knows that chance can take the noise out again. See docs/privacy.md for what is covered, and what is not.

One forward and backward pass a patient: rows are not computed side by side. Memory is that of one row, and one more of all gradients.
"""

import secrets
from dataclasses import replace
from math import isfinite

import numpy as np
import torch
from torch import nn

from clinical_modernbert.batching.loader import Row
from clinical_modernbert.batching.patients import PatientSamples, patients_of
from clinical_modernbert.pretraining.accounting import epsilon, spend
from clinical_modernbert.pretraining.chance import set_chance
from clinical_modernbert.pretraining.checkpoint import RunState
from clinical_modernbert.pretraining.masked import MaskedPhase, Taken, accumulate
from clinical_modernbert.pretraining.objective import TALLIED, summarise, tally
from clinical_modernbert.pretraining.training import Training

_SECRET_BYTES = 16
_DRAW, _ROW, _NOISE = range(5, 8)
"""Streams of chance beside those of the loader: whom a step draws, which of their documents, the noise."""


def draw_secret() -> str:
    """128 bits of the operating system's entropy, in hexadecimal digits: what all chance of a private run comes from."""
    return secrets.token_hex(_SECRET_BYTES)


def draw_patients(num_patients: int, rate: float, rng: np.random.Generator) -> list[int]:
    """Numbers of the patients in a step: each with probability `rate`, whoever else is."""
    return np.flatnonzero(rng.random(num_patients) < rate).tolist()


class ClippedSum:
    """Sum of gradients of a model, each scaled down to a norm of `max_norm` where it is longer."""

    def __init__(self, model: nn.Module, max_norm: float) -> None:
        self._max_norm = max_norm
        self._parameters = list(model.parameters())
        self.sums = [torch.zeros_like(parameter) for parameter in self._parameters]

    def take(self) -> float:
        """Move the gradient that stands in the model into the sum, nothing if it is not finite; returns its norm before."""
        gradients = [parameter.grad for parameter in self._parameters if parameter.grad is not None]
        norm = float(nn.utils.get_total_norm(gradients)) if gradients else 0.0
        share = min(1.0, self._max_norm / norm) if norm else 1.0
        for parameter, total in zip(self._parameters, self.sums, strict=True):
            if parameter.grad is not None and isfinite(norm):
                total.add_(parameter.grad, alpha=share)
            parameter.grad = None
        return norm

    def give(self, expected: float, deviation: float, rng: np.random.Generator) -> None:
        """Put (sum + noise) / `expected` where the gradient stands; the noise is drawn for every weight, from a normal of `deviation`."""
        for parameter, total in zip(self._parameters, self.sums, strict=True):
            if deviation:
                noise = torch.from_numpy(rng.standard_normal(tuple(total.shape), dtype=np.float32))
                total.add_(noise.to(total.device), alpha=deviation)
            parameter.grad = total.div_(expected)


class PrivatePhase(MaskedPhase):
    """Phase `number` of a run: patients by chance, their gradients clipped and noised."""

    _reads_ahead = False  # a row is made when its patient's turn comes

    def __init__(self, run: Training, number: int) -> None:
        assert run.guarantee is not None
        self._secret = int(run.state.secret, 16)
        super().__init__(run, number)
        self._guarantee = run.guarantee
        self._rate = run.guarantee.steps[number][1]
        self._patients = PatientSamples(self.loader.samples, patients_of(run.corpus))

    def counts(self) -> dict[str, float]:
        """See `MaskedPhase.counts`; patients as well."""
        return {**super().counts(), "patients": len(self._patients)}

    def step(self, state: RunState) -> Taken:
        """Put the noised mean of the drawn patients' clipped gradients into the model. The figures are those of the text: not private."""
        run, limit = self._run, self._guarantee.max_grad_norm
        progress = state.phase_tokens / self._phase.tokens
        total, norms, sums = ClippedSum(run.model, limit), [], np.zeros((1, TALLIED))
        taken: list[int] = []
        for patient in draw_patients(len(self._patients), self._rate, self._rng(_DRAW, state.step)):
            samples = self._patients.row(patient, self._phase.max_tokens, self._rng(_ROW, state.step, patient))
            batch = self.loader.batch([Row(state.step, samples)], progress)
            set_chance(self._secret, state.step, patient)
            scores = accumulate(run.model, [batch], run.device)
            norms.append(total.take())
            sums += tally(scores, run.tokenizer.num_bytes[batch.labels])
            taken += samples
        total.give(self._phase.rows_per_step, self._guarantee.noise_multiplier * limit, self._rng(_NOISE, state.step))
        figures = summarise(sums[0].tolist()) | {
            "mlm_probability": self.loader.masking.probability(progress),
            "patients": len(norms),
            "clipped_share": float(np.mean(np.array(norms) > limit)) if norms else 0.0,
        }
        after = replace(
            state,
            source_tokens=self._seen(state, np.array(taken, np.int64)),
            private_steps=spend(state.private_steps, self._guarantee.noise_multiplier, self._rate),
        )
        lengths, documents = self.loader.lengths[taken], self.loader.samples.document[taken]
        counted = self._phase.step_tokens
        return Taken(after, figures["loss"], lengths, float(sums[0, 0]), figures, sorted(set(documents.tolist())), counted=counted)

    def validate(self) -> dict[str, float]:
        """Figures of the held-out split, and the epsilon that the steps up to here have cost."""
        return {**super().validate(), "epsilon": epsilon(self._run.state.private_steps, self._guarantee.delta)}

    def _seed(self) -> int:
        return self._secret

    def _rng(self, stream: int, *key: int) -> np.random.Generator:
        return np.random.default_rng([stream, self._secret, *key])
