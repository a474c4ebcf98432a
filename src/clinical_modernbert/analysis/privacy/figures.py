"""Findings about privacy -> pictures."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from clinical_modernbert.analysis.privacy.exposure import Exposures, chance_exposure
from clinical_modernbert.analysis.privacy.membership import FALSE_POSITIVES, Attack
from clinical_modernbert.analysis.privacy.persons import Preference
from clinical_modernbert.analysis.privacy.vocabulary import Owners
from clinical_modernbert.export.page import axes

_COLOURS = ("#1f6f8b", "#c2703d", "0.45", "0.7")


def exposure(found: Mapping[str, Exposures]) -> Any:
    """Of each model every secret's exposure by repetitions, and their means."""
    drawn, panel = axes("Exposure of planted numbers", "times planted", "bits")
    one = next(iter(found.values()))
    for number, (name, exposures) in enumerate(found.items()):
        shift, colour = 1.06 ** (2 * number - len(found) + 1), _COLOURS[number % len(_COLOURS)]
        panel.plot(np.array(exposures.repetitions) * shift, exposures.bits, "o", ms=4, alpha=0.45, color=colour)
        means = [exposures.of(count).mean.value for count in exposures.counts]
        panel.plot(np.array(exposures.counts) * shift, means, "-", lw=1.8, color=colour, label=f"{name}, mean")
    panel.axhline(chance_exposure(one.candidates), color="0.4", lw=1, ls="--", label="mean of a secret never seen")
    panel.axhline(np.log2(one.candidates + 1), color="0.7", lw=1, ls=":", label="most that can be measured")
    panel.set_xscale("log", base=2)
    panel.set_xticks(one.counts, [str(count) for count in one.counts])
    panel.minorticks_off()
    panel.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return drawn


def persons(found: Mapping[str, Preference], unit: str) -> Any:
    """AUC of own conditions by group, beside those of shuffled persons."""
    drawn, panel = axes("Own conditions before others", unit, "AUC")
    for place, preference in enumerate(found.values()):
        panel.plot([place + 0.1] * 2, preference.shuffled.interval, color="0.7", lw=6, solid_capstyle="butt")
        panel.plot([place - 0.1] * 2, preference.auc.interval, color=_COLOURS[0], lw=2)
        panel.plot([place - 0.1], [preference.auc.value], "o", ms=5, color=_COLOURS[0])
    panel.plot([], [], "-o", color=_COLOURS[0], ms=5, label="model, 95% interval")
    panel.plot([], [], color="0.7", lw=6, label="shuffled persons, 95%")
    panel.axhline(0.5, color="0.4", lw=1, ls="--")
    panel.set_xticks(range(len(found)), list(found))
    panel.set_xlim(-0.6, len(found) - 0.4)
    panel.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return drawn


def roc(found: Mapping[str, Attack], units: str) -> Any:
    """ROC curves, both axes logarithmic: what counts is the left end (Carlini et al. 2022, arXiv 2112.03570)."""
    drawn, panel = axes(f"Membership of {units}", "false-positive rate", "true-positive rate")
    one = next(iter(found.values()))
    lowest = 0.7 / max(len(one.members), len(one.others))
    for number, (name, attack) in enumerate(found.items()):
        alarms, hits = attack.curve()
        panel.plot(np.maximum(alarms, lowest), np.maximum(hits, lowest), color=_COLOURS[number % len(_COLOURS)], lw=1.6, label=name)
    panel.plot([lowest, 1], [lowest, 1], color="0.4", lw=1, ls="--", label="chance")
    panel.axvline(FALSE_POSITIVES, color="0.7", lw=1, ls=":")
    panel.set(xscale="log", yscale="log", xlim=(lowest, 1.05), ylim=(lowest, 1.05))
    panel.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return drawn


def owners(found: Owners) -> Any:
    """How many tokens nobody, one, two ... have."""
    drawn, panel = axes("Tokens that few have", "patients or documents that have a token", "tokens")
    counts = np.bincount(found.counts, minlength=found.few + 1)[: found.few]
    words = np.bincount(found.counts[found.is_word], minlength=found.few + 1)[: found.few]
    places = np.arange(found.few)
    panel.bar(places - 0.2, counts, 0.4, color="0.7", label="all")
    panel.bar(places + 0.2, words, 0.4, color=_COLOURS[0], label="of four letters or more")
    panel.set_xticks(places)
    panel.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return drawn
