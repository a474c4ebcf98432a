"""A corpus -> one HTML page with its counts, pictures and, where its text is open, examples."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from markupsafe import Markup

from clinical_modernbert import atomic
from clinical_modernbert.corpus import Corpus, Manifest
from clinical_modernbert.export.page import axes, environment, svg

_EXAMPLES = 3
"""Documents of each open source that are shown."""
_EXAMPLE_CHARACTERS = 600
_LANGUAGES = 20
_MANY = 30
"""A cluster of more makes the axis of sizes logarithmic."""


def write_corpus_report(corpus: Corpus, output: Path) -> Path:
    """Write `output`/index.html. Text of credentialed sources is never shown."""
    manifest = corpus.manifest
    page = (
        environment(__package__)
        .get_template("corpus.html.jinja")
        .render(
            corpus=manifest,
            summary=_summary(manifest),
            pictures=list(_pictures(manifest)),
            languages=_largest(_sum(manifest, "languages")),
            examples=dict(_examples(corpus)),
        )
    )
    path = output / "index.html"
    atomic.write_text(path, page)
    return path


def _summary(manifest: Manifest) -> dict[str, Any]:
    read = sum(source.read for source in manifest.sources)
    return {
        "documents read": read,
        "for training": manifest.documents("train"),
        "held out": manifest.documents("validation"),
        "megabytes of text": round(manifest.bytes / 1e6, 1),
        "dropped": sum(manifest.dropped.values()),
        "held-out concepts": manifest.held_out_concepts,
        "clusters of duplicates": sum(manifest.duplicates.clusters.values()),
    }


def _pictures(manifest: Manifest) -> Iterator[Markup]:
    lengths = {int(bits): count for bits, count in _sum(manifest, "lengths").items()}
    if lengths:
        drawn, found = axes("Length of documents", "bytes of text", "documents")
        places = range(min(lengths), max(lengths) + 1)
        found.bar([str(2 ** (bits - 1) if bits else 0) for bits in places], [lengths.get(bits, 0) for bits in places], width=0.9)
        yield svg(drawn)
    years = {int(year): count for year, count in _sum(manifest, "years").items() if year.isdecimal()}
    if len(years) > 1:
        drawn, found = axes("Year", "", "documents")
        found.bar(list(years), list(years.values()), width=0.9)
        yield svg(drawn)
    if manifest.dropped:
        reasons = sorted(manifest.dropped.items(), key=lambda item: item[1])
        drawn, found = axes("Dropped", "documents", "")
        found.barh([reason.replace("_", " ").replace(":", ": ") for reason, _ in reasons], [count for _, count in reasons])
        yield svg(drawn)
    clusters = {int(size): count for size, count in manifest.duplicates.clusters.items()}
    if clusters:
        drawn, found = axes("Clusters of equal and nearly equal documents, of which one stays", "documents in a cluster", "clusters")
        found.plot(sorted(clusters), [clusters[size] for size in sorted(clusters)], marker="o", ls="", ms=4)
        found.set_yscale("log")
        if max(clusters) > _MANY:
            found.set_xscale("log")
        yield svg(drawn)


def _sum(manifest: Manifest, name: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for source in manifest.sources:
        for value, count in getattr(source, name).items():
            found[value] = found.get(value, 0) + count
    return dict(sorted(found.items()))


def _largest(counts: dict[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: -item[1])[:_LANGUAGES])


def _examples(corpus: Corpus) -> Iterator[tuple[str, list[str]]]:
    """The first documents of each open source, cut where they are long."""
    wanted = {source.name: source.kept["train"] for source in corpus.manifest.sources if source.access == "open" and source.kept["train"]}
    found: dict[str, list[str]] = {source: [] for source in wanted}
    for _, frame in corpus.shards("train"):
        for source, texts in found.items():
            mine = frame.filter((frame["source"] == source) & (frame["access"] == "open"))["text"].head(_EXAMPLES - len(texts))
            texts.extend(text if len(text) <= _EXAMPLE_CHARACTERS else f"{text[:_EXAMPLE_CHARACTERS]} ..." for text in mine)
        if all(len(texts) == min(_EXAMPLES, wanted[source]) for source, texts in found.items()):
            break
    yield from found.items()
