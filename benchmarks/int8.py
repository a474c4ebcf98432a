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
from onnxruntime.quantization import QuantType, quantize_dynamic

from clinical_modernbert import atomic
from clinical_modernbert.export.onnx import FULL_PRECISION, QUANTIZED, OnnxEncoder, export_onnx
from clinical_modernbert.inference import Encoder
from clinical_modernbert.inference.gate import States, check_int8
from clinical_modernbert.model import hf

HERE = Path(__file__).parent


def runs(file: Path) -> States:
    encoder = OnnxEncoder(file)
    return lambda some: [encoder.states(ids[None], np.ones_like(ids)[None])[0] for ids in some]


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
        kinds = {"op_types_to_quantize": ["MatMul"], "per_channel": True, "weight_type": QuantType.QInt8}
        every = {bits: Path(scratch) / f"{bits}.onnx" for bits in (7, 8)}
        for bits, file in every.items():
            quantize_dynamic(folder / FULL_PRECISION, file, reduce_range=bits == 7, **kinds)
        engines = {
            "the CPU engine": ours.states,
            "onnxruntime, as exported": runs(folder / QUANTIZED),
            "onnxruntime, every product": runs(every[7]),
            "onnxruntime, every product, eight bits": runs(every[8]),
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
