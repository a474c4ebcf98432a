"""The table of `docs/benchmarks.md`, from what `benchmarks/suite.py` wrote."""

from collections.abc import Iterator
from typing import Any

from speed import read, table

MODELS = {
    "open-model": "open model",
    "all-minilm-l6-v2": "all-MiniLM-L6-v2",
    "bag-of-embeddings": "embeddings",
    "untrained": "untrained",
}
"""As results call them -> as the table does; the last two are of the open model's shape and table."""
DONE = {"probe": "frozen", "vectors": "vectors as they are", "finetune": "fine-tuned"}


def suite_section() -> str:
    """Every task and model, and how far the open model is ahead of the general one."""
    found = read("suite")
    ahead = {_key(line): line["comparison"] for line in found["compared"] if line["other"] == "all-minilm-l6-v2"}
    head = ["", "metric", *MODELS.values(), "open model less MiniLM (95%)"]
    return table(head, (row for method in DONE for row in _rows(found["rows"], method, ahead))) + _note(found)


def _rows(rows: list[dict[str, Any]], method: str, ahead: dict[Any, dict[str, float]]) -> Iterator[list[str]]:
    cells: dict[Any, dict[str, str]] = {}
    for row in rows:
        if row["method"] == method and row["model"] in MODELS:
            cells.setdefault(_key(row), {})[row["model"]] = _cell(row)
    for key, models in sorted(cells.items()):
        (task, metric, _, share), difference = key, ahead.get(key)
        name = f"{task}, {DONE[method]}" + ("" if share == 1 else f", {share:.0%} of the training part")
        beside = f"{difference['difference']:+.3f} ({difference['low']:+.3f} to {difference['high']:+.3f})" if difference else "-"
        yield [name, metric, *(models.get(model, "-") for model in MODELS), beside]


def _key(row: dict[str, Any]) -> tuple[str, str, str, float]:
    return row["task"], row["metric"], row["method"], row["train_share"]


def _cell(row: dict[str, Any]) -> str:
    return f"{row['mean']:.3f}" + (f" ± {row['spread']:.3f}" if row["spread"] is not None else "")


def _note(found: dict[str, Any]) -> str:
    return (
        f"\nMean over seeds ± their standard deviation; the difference on the same documents, with an interval over documents and seeds. "
        f"`benchmarks/suite.py`, {found['measured_on']}, {found['minutes']:.0f} minutes of one core.\n"
    )
