"""What docs/serving.md says: its commands run, its limits, endpoints and metrics are those of the server."""

import os
import re
import shlex
import subprocess
import sys

from clinical_modernbert.serving.endpoints import ENDPOINTS, TOLD
from clinical_modernbert.serving.settings import ServingSettings
from documents import blocks, read
from running_server import running

PAGE = read("docs/serving.md")
ADDRESS = "http://127.0.0.1:8000"


def lines(start: str) -> list[str]:
    return [line for block in blocks(PAGE, "bash") for line in block.splitlines() if line.startswith(start)]


def test_the_clients_of_the_page_get_answers(folder, tmp_path):
    assert lines("cmbert serve")[0] == "cmbert serve my-model/"
    with running(folder("masked"), log=tmp_path / "log") as server:
        assert len(lines("curl ")) == 3
        for line in lines("curl "):
            done = subprocess.run(shlex.split(line.replace(ADDRESS, server.url)), capture_output=True, check=False, timeout=30)
            assert done.returncode == 0, line
        (program,) = blocks(PAGE, "python")
        command = [sys.executable, "-c", program.replace(ADDRESS, server.url)]
        assert subprocess.check_output(command, text=True, timeout=60).startswith("2 16 ")


def test_the_guarded_server_of_the_page_starts(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for line in lines("echo ") + lines("chmod "):
        subprocess.run(["bash", "-c", line], check=True)
    options = shlex.split(lines("cmbert serve")[1])[3:]
    with running(folder("masked"), *options, log=tmp_path / "log") as server:
        token = (tmp_path / "tokens").read_text().strip().partition(":")[2]
        assert server.ask("/embed", {"inputs": "a"}).status == 401
        assert server.ask("/embed", {"inputs": "a"}, Authorization=f"Bearer {token}").status == 200
    assert len((tmp_path / "audit.jsonl").read_text().splitlines()) == 2


def test_the_service_of_the_page_is_a_command_that_exists(tmp_path):
    (unit,) = blocks(PAGE, "ini")
    arguments = shlex.split(re.search(r"^ExecStart=(.*)$", unit, re.MULTILINE)[1])[1:]
    done = subprocess.run(
        [sys.executable, "-m", "clinical_modernbert", *arguments], capture_output=True, text=True, check=False, env=os.environ
    )
    assert done.returncode == 1
    assert "/etc/cmbert/tokens" in done.stderr


def test_the_limits_of_the_page_are_the_defaults():
    told = dict(re.findall(r"^\| `(\w+)` \| ([\d.]+) \|", PAGE, re.MULTILINE))
    defaults = ServingSettings().model_dump()
    assert told == {name: str(defaults[name]) for name in told}
    assert {*defaults} - {*told} == {"batch_tokens", "drain_seconds"}
    assert f"`batch_tokens` ({defaults['batch_tokens']})" in PAGE


def test_every_endpoint_and_every_metric_is_on_the_page(server):
    assert [path for path in (*ENDPOINTS, *TOLD) if f"`{path}`" not in PAGE] == []
    server.ask("/embed", {"inputs": "a"})
    names = set(re.findall(r"^# TYPE (cmbert_\w+) ", server.ask("/metrics").body.decode(), re.MULTILINE))
    assert {name for name in names if not name.endswith("_created")} == set(re.findall(r"`(cmbert_\w+)`", PAGE))
