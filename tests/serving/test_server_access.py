"""Who may ask, and what is written down of it."""

import json
import os

import pytest

from clinical_modernbert.cli.main import main
from clinical_modernbert.model import hf
from clinical_modernbert.serving.access import LEAST_CHARACTERS, read_tokens
from running_server import NOTES, running

WARD, LAB = "w" * LEAST_CHARACTERS, "l" * LEAST_CHARACTERS


@pytest.fixture(scope="module")
def guarded(folder, tmp_path_factory):
    """A server with two tokens, an audit log and small limits."""
    place = tmp_path_factory.mktemp("guarded")
    (place / "tokens").write_text(f"# who may ask\nward:{WARD}\nlab:{LAB}\n")
    limits = ["max_items=4", "max_tokens=100", "queue_tokens=100", "max_body_bytes=2000"]
    options = ["--tokens", str(place / "tokens"), "--audit", str(place / "audit.jsonl"), *(f"--set={limit}" for limit in limits)]
    with running(folder("masked"), *options, log=place / "log") as server:
        yield server, place


@pytest.mark.parametrize(
    "given", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {WARD}"}, {"Authorization": "Bearer \xe9"}]
)
def test_without_a_known_token_nothing_is_answered(guarded, given):
    server, _ = guarded
    for path, body in [("/embed", {"inputs": "a"}), ("/info", None), ("/metrics", None), ("/openapi.json", None), ("/nowhere", None)]:
        refused = server.ask(path, body, **given)
        assert (refused.status, refused.headers["www-authenticate"]) == (401, "Bearer")
    assert [server.ask(path).status for path in ("/", "/page.js", "/page.css", "/health", "/ready")] == [200] * 5


def test_the_audit_log_says_who_asked_for_how_many_tokens_of_which_model(guarded, folder):
    server, place = guarded
    before = len((place / "audit.jsonl").read_text().splitlines())
    server.ask("/embed", {"inputs": NOTES}, Authorization=f"Bearer {WARD}")
    server.ask("/fill-mask", {"inputs": "nothing"}, Authorization=f"bearer {LAB}")
    server.ask("/embed", {"inputs": NOTES})
    lines = [json.loads(line) for line in (place / "audit.jsonl").read_text().splitlines()[before:]]
    assert [(line["who"], line["endpoint"], line["items"], line["status"]) for line in lines] == [
        ("ward", "/embed", 3, 200),
        ("lab", "/fill-mask", 1, 422),
        ("127.0.0.1", "/embed", 0, 401),
    ]
    assert lines[0]["tokens"] > 10
    assert {line["model"] for line in lines} == {hf.weights_sha256(folder("masked"))}
    assert all({*line} == {"time", "who", "endpoint", "items", "tokens", "model", "status", "ms"} for line in lines)
    assert (place / "audit.jsonl").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({"inputs": ["a"] * 5}, 413, "5 texts"),
        ({"inputs": ["word " * 150]}, 413, "tokens"),
        ({"inputs": ["a" * 3000]}, 413, "2000 bytes"),
    ],
)
def test_more_than_a_limit_is_413_and_says_which(guarded, body, status, says):
    refused = guarded[0].ask("/embed", body, Authorization=f"Bearer {WARD}")
    assert refused.status == status
    assert says in refused.json["error"]["message"]


def test_what_cannot_be_written_down_is_not_answered(folder, tmp_path):
    (tmp_path / "place").mkdir()
    with running(folder("masked"), "--audit", str(tmp_path / "place" / "audit.jsonl"), log=tmp_path / "log") as server:
        assert server.ask("/embed", {"inputs": "a"}).status == 200
        (tmp_path / "place" / "audit.jsonl").unlink()
        (tmp_path / "place").rmdir()
        assert server.ask("/embed", {"inputs": "a"}).status == 503
        (tmp_path / "place").mkdir()
        assert server.ask("/embed", {"inputs": "a"}).status == 200


def test_without_tokens_another_sites_page_gets_nothing(server):
    assert server.ask("/embed", {"inputs": "a"}, Host="notes.example").status == 403
    assert server.ask("/embed", {"inputs": "a"}, Content_Type="text/plain").status == 415
    assert server.ask("/embed", {"inputs": "a"}, Host="localhost:1").status == 200


def test_tokens_may_come_from_the_environment(folder, tmp_path):
    environment = os.environ | {"CMBERT_TOKENS": f"ward:{WARD},lab:{LAB}"}
    with running(folder("masked"), log=tmp_path / "log", environment=environment) as server:
        assert server.ask("/embed", {"inputs": "a"}).status == 401
        assert server.ask("/embed", {"inputs": "a"}, Authorization=f"Bearer {LAB}").status == 200


@pytest.mark.parametrize("text", ["ward", "ward:short", f"ward:{WARD}\nward:{LAB}", f":{WARD}", "# none\n"])
def test_a_file_of_tokens_that_is_wrong_is_refused_without_its_tokens(tmp_path, text):
    (tmp_path / "tokens").write_text(text)
    with pytest.raises(ValueError, match="name:token") as error:
        read_tokens(tmp_path / "tokens")
    assert WARD not in str(error.value)
    assert "short" not in str(error.value).replace("is short", "")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--host", "0.0.0.0"], "no tokens are set"),
        (["--host", "::"], "no tokens are set"),
        (["--set", "max_tokens=200000"], "larger than queue_tokens"),
        (["--set", "deadline=3"], "did you mean 'deadline_seconds'"),
        (["--index", "{tmp}"], "no index"),
        (["--host", "192.0.2.1", "--tokens", "{tmp}/tokens"], "cannot listen on 192.0.2.1"),
    ],
)
def test_a_server_that_would_be_open_or_cannot_start_is_one_error(folder, tmp_path, capsys, options, says):
    (tmp_path / "tokens").write_text(f"ward:{WARD}\n")
    command = ["serve", str(folder("masked")), "--port", "0", *(option.format(tmp=tmp_path) for option in options)]
    assert main(command) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert says in line


def test_an_index_of_another_model_is_refused(folder, index, capsys):
    assert main(["serve", str(folder("pairs")), "--port", "0", "--index", str(index)]) == 1
    assert "made by another model" in capsys.readouterr().err
