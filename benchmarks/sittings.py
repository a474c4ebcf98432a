"""Results that grow over several sittings: one file, a figure for every name and seed, written after each."""

import json
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from clinical_modernbert import atomic

Figures = dict[str, Any]


def machine(threads: int) -> dict[str, Any]:
    """What this runs on."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    gpu = {"gpu": torch.cuda.get_device_name()} if torch.cuda.is_available() else {}
    return {
        **gpu,
        "processor": named[0] if named else platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": threads,
        "python": platform.python_version(),
    }


def packages(*names: str) -> dict[str, str]:
    """Their versions; those that are not installed are left out."""
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


class Results:
    """The file at `path`: what it holds goes on being true as long as `settings` are those it was begun with."""

    def __init__(self, path: Path, settings: dict[str, Any], head: dict[str, Any]) -> None:
        self.path = path
        self.found: dict[str, Any] = {"format_version": 1, **head, "settings": settings, "runs": {}}
        if path.exists():
            before = json.loads(path.read_text(encoding="utf-8"))
            changed = sorted(key for key in before["settings"].keys() | settings if before["settings"].get(key) != settings.get(key))
            if changed:
                was, now = before["settings"].get(changed[0]), settings.get(changed[0])
                sys.exit(f"error: {path} was made with {changed[0]} {was}, not {now}. Give the same options, or another --results.")
            self.found |= {key: value for key, value in before.items() if key not in head}

    def runs(self, name: str) -> dict[int, Figures]:
        """Seed -> figures of the runs of this name."""
        return {int(seed): figures for seed, figures in sorted(self.found["runs"].get(name, {}).items())}

    def add(self, name: str, seed: int, figures: Figures) -> None:
        """Keep the figures of a finished run, beside those that another process has written meanwhile."""
        if self.path.exists():
            for other, by_seed in json.loads(self.path.read_text(encoding="utf-8"))["runs"].items():
                self.found["runs"].setdefault(other, {}).update(by_seed)
        self.found["runs"].setdefault(name, {})[str(seed)] = figures

    def write(self, **summary: Any) -> None:
        """Write all runs, with `summary` of them beside."""
        self.found |= summary
        self.path.parent.mkdir(parents=True, exist_ok=True)
        atomic.write_json(self.path, self.found)
