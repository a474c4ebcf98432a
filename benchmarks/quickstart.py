"""What the README shows: the quickstart's own output, and five lines of Python on its model, with time and memory.

    python benchmarks/quickstart.py -o quickstart/

Writes benchmarks/results/quickstart.json; a test compares the README with it.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

from clinical_modernbert import atomic

EXAMPLE = """\
from clinical_modernbert import Encoder

encoder = Encoder.from_pretrained("quickstart/model")
vectors = encoder.encode(["Fracture of left femur", "Broken thigh bone", "Type 2 diabetes"])
print(vectors.shape, encoder.fill_mask("ICD 10 code for C50: Malignant neoplasm of female [MASK]", top_k=2))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=Path("quickstart"))
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()
    began = time.monotonic()
    command = [sys.executable, "-m", "clinical_modernbert", "quickstart", "-o", str(options.output)]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    seconds = time.monotonic() - began
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    example = EXAMPLE.replace("quickstart/model", str(options.output / "model"))
    shown = subprocess.run([sys.executable, "-c", example], check=True, stdout=subprocess.PIPE, text=True).stdout
    result = {
        "format_version": 1,
        "seconds": round(seconds, 1),
        "peak_memory_gib": round(peak / 2**30, 2),
        "summary": json.loads((options.output / "summary.json").read_text()),
        "printed": printed.replace(str(options.output), "quickstart"),
        "example": EXAMPLE,
        "example_output": shown,
    }
    atomic.write_json(options.results / "quickstart.json", result)
    print(printed, shown)


if __name__ == "__main__":
    main()
