"""How near int8 stays to fp32 on a trained model: the figures of the gate, for the CPU engine and for ONNX Runtime.

    python benchmarks/int8.py quickstart/model [--data ../shared/data] [--limit 120]

Needs the extra `onnx`, and the public clinical cases under --data. Writes benchmarks/results/int8.json, failures too.
"""

import argparse
import gzip
import json
import os
import tempfile
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import numpy as np

from clinical_modernbert import atomic
from clinical_modernbert.export.onnx import QUANTIZED, OnnxEncoder, export_onnx
from clinical_modernbert.inference import Encoder
from clinical_modernbert.inference.gate import check_int8
from clinical_modernbert.model import hf

HERE = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--limit", type=int, default=120)
    options = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    with gzip.open(options.data / "notes" / "e3c_cases.jsonl.gz", "rt") as file:
        texts = [json.loads(line)["text"] for line, _ in zip(file, range(options.limit), strict=False)]
    exact, ours = (Encoder.from_pretrained(options.model, device="cpu", dtype=dtype, unchecked=True) for dtype in ("fp32", "int8"))
    sequences, weights = exact.sequences(texts), hf.weights_sha256(options.model)
    with tempfile.TemporaryDirectory() as scratch:
        folder = export_onnx(options.model, Path(scratch) / "onnx", dtype="int8", unchecked=True)
        onnx = OnnxEncoder(folder / QUANTIZED)
        engines = {
            "the CPU engine": ours.states,
            "onnxruntime": lambda some: [onnx.states(ids[None], np.ones_like(ids)[None])[0] for ids in some],
        }
        found = {
            name: check_int8(exact.states, states, exact.model, exact.tokenizer, sequences, weights) for name, states in engines.items()
        }
    result = {
        "format_version": 1,
        "model": f"a model of {exact.model.config.num_parameters:,} parameters that the quickstart trained",
        "texts": "public clinical cases",
        "sequences": len(sequences),
        "packages": {name: version(name) for name in ("torch", "onnxruntime")},
        "engines": {name: {**asdict(check), "passed": check.passed} for name, check in found.items()},
    }
    atomic.write_json(HERE / "results" / "int8.json", result)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
