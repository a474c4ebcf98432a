"""The same bytes whoever does the work, and whatever happens to them."""

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from clinical_modernbert.corpus import Corpus, CorpusSettings, build_corpus
from clinical_modernbert.corpus.executor import Processes, RayCluster, run_all
from clinical_modernbert.corpus.tasks import Journal, Task
from clinical_modernbert.errors import ConfigError
from clinical_modernbert.progress import silent
from clinical_modernbert.sources import Codes, Files

WORDS = ["".join(letters) for letters in itertools.product("aeiou", "bcdfg", "aeiou", "klmnp", "aeiou")]
OBO = "".join(
    f'[Term]\nid: HP:{i}\nname: {WORDS[i]} {WORDS[-i]} of the {WORDS[2 * i]}\nsynonym: "{WORDS[3 * i]} {WORDS[i]}" EXACT []\n\n'
    for i in range(100)
)


class CountTask(Task):
    """Counts, for tests; dies at a number if asked to."""

    upto: int
    dies_at: int = 0
    dies_once: bool = False

    def run(self, folder: Path, journal: Journal) -> dict[str, int]:
        for number in range(1, self.upto + 1):
            journal.at(number)
            mark = self.folder.with_name(f"{self.folder.name}.died")
            if number == self.dies_at and not (self.dies_once and mark.exists()):
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        (folder / "sum.txt").write_text(str(sum(range(self.upto + 1))))
        return {"done": self.upto}


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def inputs(tmp_path) -> Path:
    """Five files of notes, some of them near copies, with patients."""
    rng = random.Random(0)
    folder = tmp_path / "notes"
    folder.mkdir()
    for name in "abcde":
        rows = []
        for i in range(200):
            text = " ".join(rng.choices(WORDS, k=60))
            rows.append({"text": rows[-1]["text"] + " more" if i % 10 == 9 else text, "patient": f"p{rng.randrange(50)}"})
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "terms.obo").write_text(OBO)
    return folder


def settings(inputs: Path, **changed) -> CorpusSettings:
    sources = [Files(inputs, patient_column="patient", access="open"), Codes(inputs.parent / "terms.obo", system="hpo")]
    return CorpusSettings(sources=sources, validation_fraction=0.1, shard_megabytes=1, **changed)


@pytest.fixture
def small_parts(monkeypatch, tmp_path):
    """Parts and tasks so small that a few files make many; in the workers too."""
    small = {
        "reading._PART_CHARACTERS": 20_000,
        "cleaning._BATCH_CHARACTERS": 5_000,
        "steps._READ_TOGETHER": 1,
        "resolving._ROWS": 700,
        "resolving._BANDS_TOGETHER": 3000,
    }
    folder = tmp_path / "site"
    folder.mkdir()
    lines = []
    for name, value in small.items():
        module, _, attribute = name.partition(".")
        monkeypatch.setattr(f"clinical_modernbert.corpus.{name}", value)
        lines.append(f"import clinical_modernbert.corpus.{module} as {module}; {module}.{attribute} = {value}")
    (folder / "sitecustomize.py").write_text("\n".join(lines) + "\n")
    monkeypatch.syspath_prepend(folder)
    return folder / "sitecustomize.py"


def test_any_number_of_workers_gives_the_same_bytes(inputs, small_parts, tmp_path):
    built = {workers: build_corpus(settings(inputs, workers=workers), tmp_path / f"{workers}") for workers in (1, 2, 4)}
    assert built[1].manifest.dropped["near_duplicate"] >= 90
    for source in built[1].manifest.sources:
        assert source.read == sum(source.kept.values()) + sum(source.dropped.values()) > 0
    assert tree(built[1].folder) == tree(built[2].folder) == tree(built[4].folder)


def test_parts_and_tasks_of_any_size_give_the_same_shards(inputs, small_parts, tmp_path, monkeypatch):
    small = build_corpus(settings(inputs, workers=1), tmp_path / "small")
    monkeypatch.undo()
    large = build_corpus(settings(inputs, workers=1), tmp_path / "large")
    assert small.manifest.fingerprint == large.manifest.fingerprint
    assert small.manifest.dropped == large.manifest.dropped


def test_a_worker_that_is_killed_changes_nothing(inputs, small_parts, tmp_path):
    expected = tree(build_corpus(settings(inputs, workers=1), tmp_path / "expected").folder)
    once = f"""
import os, pathlib, signal
import clinical_modernbert.corpus.cleaning as cleaning
clean, mark = cleaning.clean, pathlib.Path({str(tmp_path / "mark")!r})
def dying(row, *given):
    if row["id"].endswith("c.jsonl-77") and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return clean(row, *given)
cleaning.clean = dying
"""
    small_parts.write_text(small_parts.read_text() + once)
    found = build_corpus(settings(inputs, workers=2), tmp_path / "found")
    assert (tmp_path / "mark").exists()
    assert tree(found.folder) == expected


def test_a_document_that_ends_every_process_is_quarantined_and_the_rest_stays(inputs, small_parts, tmp_path):
    small_parts.write_text(
        small_parts.read_text()
        + """
import os, signal
import clinical_modernbert.corpus.cleaning as cleaning
clean = cleaning.clean
def dying(row, *given):
    if row["id"].endswith(("c.jsonl-50", "c.jsonl-51")):
        os.kill(os.getpid(), signal.SIGKILL)
    return clean(row, *given)
cleaning.clean = dying
"""
    )
    corpus = build_corpus(settings(inputs, workers=2), tmp_path / "corpus")
    assert corpus.manifest.dropped["quarantined"] == 2
    [refusal] = corpus.manifest.refused
    assert (refusal.records, refusal.where) == (2, "files:c.jsonl-50, files:c.jsonl-51")
    assert "ends the process" in refusal.reason


def test_a_document_that_ends_the_hashing_is_found_among_its_batch(inputs, small_parts, tmp_path):
    small_parts.write_text(
        small_parts.read_text()
        + """
import os, signal
import clinical_modernbert.corpus.cleaning as cleaning
hash_words = cleaning.hash_words
def dying(texts):
    if any("poisonous" in text for text in texts):
        os.kill(os.getpid(), signal.SIGKILL)
    return hash_words(texts)
cleaning.hash_words = dying
"""
    )
    rows = [{"text": f"A long enough report of {name} plant.", "patient": "p"} for name in ("a poisonous", "another")]
    (inputs / "f.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    corpus = build_corpus(settings(inputs, workers=2), tmp_path / "corpus")
    assert [(refusal.records, refusal.where) for refusal in corpus.manifest.refused] == [(1, "files:f.jsonl-1")]
    assert corpus.manifest.dropped["quarantined"] == 1


def test_a_file_that_ends_its_reader_is_named_and_those_read_with_it_stay(inputs, small_parts, tmp_path):
    small_parts.write_text(
        small_parts.read_text().replace("_READ_TOGETHER = 1", "_READ_TOGETHER = 10**9")
        + """
import os, signal
from clinical_modernbert.sources import Files
read = Files.read
def dying(self, path):
    if path.name == "c.jsonl":
        os.kill(os.getpid(), signal.SIGKILL)
    return read(self, path)
Files.read = dying
"""
    )
    corpus = build_corpus(settings(inputs, workers=2), tmp_path / "corpus")
    [refusal] = corpus.manifest.refused
    assert Path(refusal.path).name == "c.jsonl"
    assert corpus.manifest.sources[0].read == 800


def test_a_document_that_no_rule_can_look_at_is_quarantined_without_its_text(inputs, tmp_path, monkeypatch):
    from clinical_modernbert.corpus import cleaning

    clean = cleaning.clean

    def failing(row, *given):
        if row["id"].endswith("c.jsonl-77"):
            raise ValueError(row["text"])
        return clean(row, *given)

    monkeypatch.setattr(cleaning, "clean", failing)
    corpus = build_corpus(settings(inputs, workers=1), tmp_path / "corpus")
    [refusal] = corpus.manifest.refused
    assert str(refusal) == "1 record of files: ValueError while cleaning (files:c.jsonl-77)"
    assert corpus.manifest.dropped["quarantined"] == 1


def test_a_build_that_is_killed_goes_on_and_does_nothing_twice(inputs, small_parts, tmp_path):
    expected = tree(build_corpus(settings(inputs, workers=1), tmp_path / "expected").folder)
    log = tmp_path / "performed"
    small_parts.write_text(
        small_parts.read_text()
        + f"""
import clinical_modernbert.corpus.tasks as tasks
perform = tasks.Task.perform
def logged(self):
    result = perform(self)
    with open({str(log)!r}, "a") as file:
        file.write(f"{{self.folder}}\\n")
    return result
tasks.Task.perform = logged
"""
    )
    (tmp_path / "corpus.yaml").write_text(settings(inputs).to_yaml())
    command = [
        sys.executable,
        "-m",
        "clinical_modernbert",
        "corpus",
        "build",
        str(tmp_path / "corpus.yaml"),
        "-o",
        str(tmp_path / "found"),
        "-q",
    ]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    for least in (3, 9, 20):
        process = subprocess.Popen([*command, "--workers", "2"], env=environment)
        deadline = time.monotonic() + 100
        while process.poll() is None and (not log.exists() or len(log.read_text().splitlines()) < least):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.kill()
        process.wait()
    subprocess.run([*command, "--workers", "2"], env=environment, check=True, stdout=subprocess.DEVNULL)
    assert tree(tmp_path / "found") == expected
    performed = log.read_text().splitlines()
    assert len(performed) - len(set(performed)) <= 3 * 2  # what was under way when it was killed


def test_a_damaged_part_is_found_by_its_hash_and_made_again(inputs, small_parts, tmp_path, monkeypatch):
    from clinical_modernbert.corpus import steps

    expected = tree(build_corpus(settings(inputs, workers=1), tmp_path / "expected").folder)
    resolve = steps.resolve
    monkeypatch.setattr(steps, "resolve", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        build_corpus(settings(inputs, workers=1), tmp_path / "found")
    monkeypatch.setattr(steps, "resolve", resolve)
    damaged = [next((tmp_path / "found" / ".staging" / step).rglob("*.parquet")) for step in ("read", "clean")]
    for path in damaged:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    assert tree(build_corpus(settings(inputs, workers=1), tmp_path / "found").folder) == expected


def test_a_finished_corpus_with_a_damaged_shard_is_built_again(inputs, tmp_path, caplog):
    corpus = build_corpus(settings(inputs), tmp_path / "corpus")
    before = tree(corpus.folder)
    path = corpus.folder / corpus.manifest.shards[0].path
    path.write_bytes(path.read_bytes()[:-5])
    assert build_corpus(settings(inputs), tmp_path / "corpus").manifest.fingerprint == corpus.manifest.fingerprint
    assert tree(corpus.folder) == before
    assert "is missing or damaged" in caplog.text


def test_a_task_without_a_survivor_says_where_it_died(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parent)
    monkeypatch.setattr(CountTask, "__module__", "test_corpus_engine")
    tasks = [CountTask(folder=tmp_path / str(i), upto=10, dies_at=7 if i == 1 else 0) for i in range(3)]
    outcomes = run_all(tasks, Processes(2), "Counting", silent)
    assert [getattr(outcome, "at", None) for outcome in outcomes] == [None, 7, None]
    tasks = [CountTask(folder=tmp_path / "once", upto=10, dies_at=7, dies_once=True)]
    assert run_all(tasks, Processes(2), "Counting", silent)[0].summary == {"done": 10}


def test_errors_of_a_worker_arrive_as_they_are(inputs, tmp_path):
    (inputs / "a.jsonl").write_text("")
    (tmp_path / "corpus" / ".staging").mkdir(parents=True)
    (tmp_path / "corpus" / ".staging" / "read").write_text("a file stands in the way")
    with pytest.raises(OSError, match=r"Not a directory|File exists"):
        build_corpus(settings(inputs, workers=2), tmp_path / "corpus")


RAY = """
import os, sys, threading, time
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
import ray
from pathlib import Path
from ray.cluster_utils import Cluster
from clinical_modernbert.corpus import CorpusSettings, build_corpus
from clinical_modernbert.settings import load

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False, "node_ip_address": "127.0.0.2"})
second = cluster.add_node(num_cpus=1, node_ip_address="127.0.0.3")
output = Path(sys.argv[2])

def lose_a_node():
    while len(list((output / ".staging" / "clean").glob("*/done.json"))) < 3:
        time.sleep(0.01)
    cluster.remove_node(second, allow_graceful=False)
    print("lost a node", flush=True)

losing = threading.Thread(target=lose_a_node)
losing.start()
build_corpus(load(CorpusSettings, Path(sys.argv[1]), [f"ray_address={cluster.address}", "executor=ray"]), output)
losing.join()
cluster.shutdown()
"""


def test_a_ray_cluster_that_loses_a_node_gives_the_same_bytes(inputs, small_parts, tmp_path):
    pytest.importorskip("ray", reason="ray is not installed")
    expected = tree(build_corpus(settings(inputs, workers=1), tmp_path / "expected").folder)
    (tmp_path / "corpus.yaml").write_text(settings(inputs).to_yaml())
    (tmp_path / "cluster.py").write_text(RAY)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(tmp_path / "cluster.py"), str(tmp_path / "corpus.yaml"), str(tmp_path / "found")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "lost a node" in done.stdout
    assert tree(tmp_path / "found") == expected


def test_a_cluster_that_does_not_answer_is_one_clear_error():
    pytest.importorskip("ray", reason="ray is not installed")
    with pytest.raises(ConfigError, match=r"no Ray cluster answers \(127\.0\.0\.1:9\)"):
        RayCluster("127.0.0.1:9")


def test_executor_and_workers_are_no_part_of_a_corpus(inputs, tmp_path):
    corpus = build_corpus(settings(inputs, workers=1), tmp_path / "corpus")
    assert build_corpus(settings(inputs, workers=3, executor="local"), tmp_path / "corpus") == Corpus.open(corpus.folder)
    assert "workers" not in corpus.manifest.settings
