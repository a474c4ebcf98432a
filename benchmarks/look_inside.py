"""A look inside the open model: `cmbert analyze all` of it as masked training left it, beside itself before the phase of long rows.

    python benchmarks/look_inside.py OPEN-MODEL/ [--data ../shared/data] [-o report/]

Writes the report into OUTPUT and its numbers into benchmarks/results/open_model_analysis.json. What it forgot is asked on Python's own
reference, which comes with the interpreter. About an hour of one core.
"""

import argparse
import json
import pydoc_data.topics
from pathlib import Path

from clinical_modernbert import atomic
from clinical_modernbert.pretraining.run import Run
from open_model import HERE, cmbert

TABLES = {
    "cms-icd9": "CMS32_DESC_LONG_DX.txt.gz",
    "cms-icd10pcs": "icd_10_pcs.csv.gz",
    "cms-hcpcs": "HCPC2020_ANWEB_w_disclaimer.txt.gz",
}
"""Code system -> its table's name."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="what benchmarks/open_model.py made")
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("-o", "--output", type=Path, default=Path("open-model-report"))
    parser.add_argument("--results", type=Path, default=HERE / "results")
    options = parser.parse_args()
    run, other = Run(options.model / "run"), options.output / "python-reference.jsonl"
    topics = pydoc_data.topics.topics
    atomic.write_text(other, "".join(json.dumps({"id": name, "text": text}) + "\n" for name, text in topics.items()))
    codes = options.data / "codes"
    paths = {system: codes / name for system, name in TABLES.items()}
    tables = ["icd10cm", "hpo", *(f"{system}={path}" for system, path in paths.items() if path.is_file())]
    given = [part for table in tables for part in ("--table", table)]
    beside = ["--reference", run.model_after(0), "--corpus", options.model / "corpus", "--texts", f"python-reference={other}"]
    cmbert("analyze", "all", run.model, *beside, *given, "-o", options.output, "--overwrite")
    told = json.loads((options.output / "metrics.json").read_text())
    atomic.write_json(options.results / "open_model_analysis.json", {"measured_on": "the open model and its corpus of public text", **told})


if __name__ == "__main__":
    main()
