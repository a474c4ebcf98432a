"""`cmbert corpus download`: public text from its publisher's server, or a mirror."""

import json
import sys
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clinical_modernbert.cli.options import DryRun, Json, Output

if TYPE_CHECKING:
    from clinical_modernbert.sources.pubmed_files import Download, Plan

app = typer.Typer(help="Fetch public text; only the server that you name is asked.", no_args_is_help=True)

Baseline = Annotated[bool, typer.Option("--baseline/--updates", help="The yearly baseline, or the daily files that came since.")]
Numbers = Annotated[str | None, typer.Option("--files", metavar="NUMBERS", help="`1-50`, or `1-50,60`; all where it is not given.")]
Mirror = Annotated[str | None, typer.Option("--url", help="Folder that holds `baseline/` and `updatefiles/`; NLM's by default.")]
Retries = Annotated[int, typer.Option("--retries", min=0, help="How often a file is tried again after a cut connection or a busy server.")]
Rate = Annotated[float | None, typer.Option("--rate", min=0.001, help="Megabytes a second for --dry-run; measured where not given.")]


@app.command()
def pubmed(
    output: Output,
    baseline: Baseline,
    files: Numbers = None,
    url: Mirror = None,
    retries: Retries = 6,
    rate: Rate = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Fetch PubMed's citations and check their MD5; goes on where an interrupted download stopped, exits with 1 if a file is missing.

    Example: cmbert corpus download pubmed --baseline --files 1-50 -o pubmed/
    """
    from clinical_modernbert.cli.progress import progress
    from clinical_modernbert.errors import ConfigError
    from clinical_modernbert.sources import pubmed_files
    from clinical_modernbert.sources.web import Web

    if rate is not None and not dry_run:
        raise ConfigError("--rate is for --dry-run alone. Leave it out, or add --dry-run.")
    part: pubmed_files.Part = "baseline" if baseline else "updatefiles"
    wanted = pubmed_files.parse_numbers(files) if files else None
    url, web = url or pubmed_files.NLM, Web(retries=retries)
    outcome: Download | Plan
    if dry_run:
        bytes_per_second = None if rate is None else rate * 1e6
        outcome = planned = pubmed_files.plan(part, output, wanted, url=url, bytes_per_second=bytes_per_second, web=web, progress=progress)
        figures: dict[str, Any] = {**asdict(planned), "seconds": round(planned.seconds)}
        line = _of_plan(planned)
    else:
        outcome = done = pubmed_files.download(part, output, wanted, url=url, web=web, progress=progress)
        figures = asdict(done)
        line = f"{len(done.fetched):,} files fetched, {done.bytes / 1e6:,.1f} MB; {len(done.present):,} were there"
    failures = [f"failed: {failure.name}: {failure.reason}" for failure in outcome.failed]
    text = json.dumps(figures, indent=2) if as_json else "\n".join([f"{output}: {line}", *failures])
    sys.stdout.write(f"{text}\n")
    if outcome.failed:
        raise typer.Exit(1)


def _of_plan(planned: "Plan") -> str:
    unknown = f" and {planned.of_unknown_size:,} files of unknown size" if planned.of_unknown_size else ""
    time = timedelta(seconds=round(planned.seconds))
    cost = f"{planned.bytes / 1e6:,.1f} MB{unknown}, {time} at {planned.bytes_per_second / 1e6:,.2f} MB/s"
    return f"{len(planned.to_fetch):,} files to fetch, {cost}; {len(planned.present):,} are there"
