"""`cmbert quickstart`: the whole flow, on real text."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from clinical_modernbert.cli.options import Json, Overwrite


def quickstart(
    output: Annotated[Path, typer.Option("--output", "-o", help="Where corpus, run, model and report go.")] = Path("quickstart"),
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Build a corpus from ICD-10-CM and HPO, train a small model on it, and report; go on with it if it was interrupted.

    Example: cmbert quickstart -o quickstart/
    """
    from clinical_modernbert.cli.progress import progress
    from clinical_modernbert.quickstart import quickstart as run

    result = run(output, overwrite=overwrite, progress=progress)
    if as_json:
        sys.stdout.write(json.dumps(result.summary, indent=2) + "\n")
        return
    for name, value in result.summary.items():
        shown = f"{value:,}" if isinstance(value, int) else f"{value:,.3f}"
        sys.stdout.write(f"{name.replace('_', ' '):36}{shown:>12}\n")
    sys.stdout.write("\n")
    for item in result.cloze:
        sys.stdout.write(f"{item.text}\n    {', '.join(f'{p.token} {p.probability:.0%}' for p in item.predictions)}\n")
    sys.stdout.write(
        f"\nReport: {output}/report/index.html    Model: {output}/model\n"
        "With your own notes: write corpus.yaml (sources: [{type: files, path: notes.jsonl}]), then\n"
        "  cmbert corpus build corpus.yaml -o corpus/ && cmbert pretrain --recipe tiny-cpu --corpus corpus/ -o run/\n"
    )
