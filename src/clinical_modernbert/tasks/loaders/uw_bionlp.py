"""Corpora of the University of Washington's BioNLP group in BRAT's format: changes in chest x-rays, social history."""

from collections import Counter
from collections.abc import Sequence

from clinical_modernbert.tasks.examples import Splits, TaggedText
from clinical_modernbert.tasks.reading.annotated import lines_of, tagged
from clinical_modernbert.tasks.reading.annotated_files import read_each
from clinical_modernbert.tasks.reading.data_folder import DataFolder
from clinical_modernbert.tasks.reading.splitting import own_parts


def cos(folder: DataFolder) -> Splits[Sequence[TaggedText]]:
    """What changed where in a chest x-ray and how, a snippet of a report each; files hold a hundred, a line each."""
    counted: Counter[str] = Counter()
    files = _files(folder, "release_Jan_1_2015", counted)
    return Splits(*own_parts([line for file in files for line in lines_of(file, counted)]), counted)


def social_history(folder: DataFolder) -> Splits[Sequence[TaggedText]]:
    """Use of substances and other social history, with its status, amount, frequency and the like."""
    counted: Counter[str] = Counter()
    return Splits(*own_parts(_files(folder, "SocialHistoryMTSamples", counted)), counted)


def _files(folder: DataFolder, name: str, counted: Counter[str]) -> list[TaggedText]:
    folder.below(name, ".txt")
    return tagged(read_each(folder, folder.below(name, ".ann"), "brat", counted), counted)
