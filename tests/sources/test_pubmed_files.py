import hashlib
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from email.utils import formatdate
from itertools import repeat
from pathlib import Path
from shutil import which

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinical_modernbert.errors import ConfigError, DataError
from clinical_modernbert.sources.pubmed_files import Download, choose, download, parse_numbers, plan
from clinical_modernbert.sources.web import RATE_SAMPLE_BYTES, USER_AGENT, Web
from pubmed_mirror import Fault, Mirror, serving

CONTENT = {number: hashlib.shake_128(bytes([number])).digest(150_000 + number) for number in range(1, 5)}
NAMES = [f"pubmed26n{number:04d}.xml.gz" for number in CONTENT]
NOW = 1_800_000_000.0


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    mirror = Mirror()
    for number, content in CONTENT.items():
        mirror.publish(number, content)
    with serving(mirror):
        yield mirror


@pytest.fixture
def slept() -> list[float]:
    return []


@pytest.fixture
def fetch(mirror: Mirror, slept: list[float], tmp_path: Path) -> Callable[..., Download]:
    """Downloads into `tmp_path` without ever sleeping."""

    def run(numbers: str = "1-4", url: str | None = None, retries: int = 6) -> Download:
        web = Web(retries=retries, timeout_seconds=5, sleep=slept.append, clock=lambda: NOW)
        return download("baseline", tmp_path, parse_numbers(numbers), url=url or mirror.url, web=web)

    return run


def whole(folder: Path, *numbers: int) -> bool:
    """Whether the folder holds just these files with their bytes, and a marker each."""
    found = {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".md5"}
    markers = {path.name for path in folder.glob("*.md5")}
    names = {f"pubmed26n{number:04d}.xml.gz": CONTENT[number] for number in numbers}
    return found == names and markers == {f"{name}.md5" for name in names}


def test_the_wanted_files_come_whole_with_their_markers(mirror: Mirror, fetch: Callable[..., Download], tmp_path: Path) -> None:
    done = fetch("1-2,4")
    assert (done.fetched, done.failed) == ([NAMES[0], NAMES[1], NAMES[3]], [])
    assert done.bytes == sum(len(CONTENT[number]) for number in (1, 2, 4))
    assert whole(tmp_path, 1, 2, 4)
    assert {(headers["User-Agent"], headers["Accept-Encoding"]) for *_, headers in mirror.requests} == {(USER_AGENT, "identity")}
    assert USER_AGENT.startswith("cmbert/0.")


def test_a_finished_file_is_never_asked_for_again(mirror: Mirror, fetch: Callable[..., Download], tmp_path: Path) -> None:
    fetch()
    mirror.requests.clear()
    assert fetch().present == NAMES
    assert [path for _, path, _ in mirror.requests] == ["/pubmed/baseline/"]
    (tmp_path / NAMES[2]).write_bytes(b"damaged on this disk")
    assert fetch().fetched == [NAMES[2]]
    assert whole(tmp_path, 1, 2, 3, 4)


def test_a_file_from_elsewhere_with_the_right_md5_is_taken(mirror: Mirror, fetch: Callable[..., Download], tmp_path: Path) -> None:
    (tmp_path / NAMES[0]).write_bytes(CONTENT[1])
    assert fetch("1").present == [NAMES[0]]
    assert mirror.asked(NAMES[0]) == []
    assert whole(tmp_path, 1)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("knows_ranges", [True, False])
def test_cut_connections_cost_no_byte(
    mirror: Mirror, fetch: Callable[..., Download], tmp_path: Path, seed: int, knows_ranges: bool
) -> None:
    mirror.knows_ranges = knows_ranges
    for name in NAMES[:3]:
        chance = hashlib.sha256(f"{seed} {name}".encode()).digest()
        mirror.fail(name, [Fault(cut_after=(chance[n] << 8 | chance[-n]) * 2) for n in range(1, 1 + chance[0] % 4)])
    mirror.fail(NAMES[3], [Fault(cut_after=place) for place in (0, 1, 0, len(CONTENT[4]) - 1)])
    assert fetch().fetched == NAMES
    assert whole(tmp_path, 1, 2, 3, 4)


def test_a_cut_file_goes_on_behind_its_last_byte(mirror: Mirror, fetch: Callable[..., Download], tmp_path: Path) -> None:
    mirror.fail(NAMES[0], [Fault(cut_after=70_000), Fault(cut_after=50_000)])
    fetch("1")
    assert mirror.asked(NAMES[0]) == [None, "bytes=70000-", "bytes=120000-"]
    assert whole(tmp_path, 1)


def test_a_server_without_ranges_begins_anew(mirror: Mirror, fetch: Callable[..., Download], tmp_path: Path) -> None:
    mirror.knows_ranges = False
    mirror.fail(NAMES[0], [Fault(cut_after=70_000)])
    fetch("1")
    assert mirror.asked(NAMES[0]) == [None, "bytes=70000-"]
    assert whole(tmp_path, 1)


def test_a_later_run_goes_on_with_what_an_earlier_one_had(mirror: Mirror, fetch: Callable[..., Download], tmp_path: Path) -> None:
    mirror.fail(NAMES[0], [Fault(cut_after=70_000)])
    assert fetch("1", retries=0).failed[0].reason.startswith("the connection was cut, at attempt 1 (http://127.0.0.1:")
    assert [path.suffix for path in tmp_path.iterdir()] == [".part"]
    fetch("1")
    assert mirror.asked(NAMES[0])[-1] == "bytes=70000-"
    assert whole(tmp_path, 1)


def test_a_file_that_changes_between_two_connections_is_not_glued(mirror: Mirror, fetch: Callable[..., Download], tmp_path: Path) -> None:
    def change() -> Iterator[Fault]:
        yield Fault(cut_after=70_000)
        mirror.publish(1, CONTENT[2])
        yield Fault()

    mirror.fail(NAMES[0], change())
    assert fetch("1").fetched == [NAMES[0]]
    assert (tmp_path / NAMES[0]).read_bytes() == CONTENT[2]


def test_a_part_of_another_md5_is_thrown_away(mirror: Mirror, fetch: Callable[..., Download], tmp_path: Path) -> None:
    old = tmp_path / f"{NAMES[0]}.{'0' * 32}.part"
    old.write_bytes(CONTENT[2][:100])
    fetch("1")
    assert mirror.asked(NAMES[0]) == [None]
    assert whole(tmp_path, 1)


@pytest.mark.parametrize("extra", [b"", b"too long"])
def test_a_part_that_is_complete_or_too_long_ends_well(
    fetch: Callable[..., Download], mirror: Mirror, tmp_path: Path, extra: bytes
) -> None:
    md5 = mirror.files[f"/pubmed/baseline/{NAMES[0]}.md5"].split()[-1].decode()
    (tmp_path / f"{NAMES[0]}.{md5}.part").write_bytes(CONTENT[1] + extra)
    assert fetch("1").fetched == [NAMES[0]]
    assert whole(tmp_path, 1)


def test_bytes_damaged_once_are_fetched_again_from_the_first_one(mirror: Mirror, fetch: Callable[..., Download], tmp_path: Path) -> None:
    mirror.fail(NAMES[0], [Fault(damaged=True)])
    assert fetch("1").fetched == [NAMES[0]]
    assert mirror.asked(NAMES[0]) == [None, None]
    assert whole(tmp_path, 1)


def test_bytes_damaged_always_are_listed_and_the_others_go_on(mirror: Mirror, fetch: Callable[..., Download], tmp_path: Path) -> None:
    mirror.fail(NAMES[1], repeat(Fault(damaged=True)))
    done = fetch()
    (failure,) = done.failed
    assert (failure.name, failure.reason.partition(" (")[0]) == (NAMES[1], "its MD5 is not the published one, twice")
    assert done.fetched == [NAMES[0], NAMES[2], NAMES[3]]
    assert whole(tmp_path, 1, 3, 4)


def test_waiting_grows_and_lasts_as_long_as_the_server_asks(mirror: Mirror, fetch: Callable[..., Download], slept: list[float]) -> None:
    asks = [{}, {"Retry-After": "7"}, {"Retry-After": formatdate(NOW + 30, usegmt=True)}, {"Retry-After": "soon"}, {}]
    mirror.fail(NAMES[0], [Fault(status=status, headers=headers) for status, headers in zip((503, 429, 503, 500, 504), asks, strict=True)])
    assert fetch("1").fetched == [NAMES[0]]
    assert slept == [1, 7, 30, 8, 16]


def test_patience_has_an_end(mirror: Mirror, fetch: Callable[..., Download], slept: list[float], tmp_path: Path) -> None:
    mirror.fail(NAMES[0], repeat(Fault(status=503)))
    mirror.fail(NAMES[1], repeat(Fault(status=429, headers={"Retry-After": "86400"})))
    reasons = [failure.reason.partition(" (")[0] for failure in fetch("1-3", retries=3).failed]
    assert reasons == [
        "HTTP 503 Service Unavailable, at attempt 4",
        "HTTP 429 Too Many Requests, at attempt 1, asks to wait 86,400 s",
    ]
    assert slept == [1, 2, 4]
    assert whole(tmp_path, 3)


def test_what_the_server_does_not_have_is_listed_at_once(mirror: Mirror, fetch: Callable[..., Download], slept: list[float]) -> None:
    del mirror.files[f"/pubmed/baseline/{NAMES[0]}"]
    mirror.files[f"/pubmed/baseline/{NAMES[1]}.md5"] = b"<html>Moved</html>"
    found = {failure.name: failure.reason.partition(" (")[0] for failure in fetch("1-7").failed}
    assert found == {"5-7": "no file of this number is listed", NAMES[0]: "HTTP 404 Not Found", NAMES[1]: "no MD5 in it"}
    assert slept == []


@pytest.mark.parametrize("numbers", ["9", "9-12"])
def test_a_folder_without_the_wanted_files_is_an_error(fetch: Callable[..., Download], numbers: str) -> None:
    with pytest.raises(DataError, match="lists none of the wanted files"):
        fetch(numbers)


def test_no_other_server_is_asked(mirror: Mirror, fetch: Callable[..., Download], tmp_path: Path) -> None:
    with serving(Mirror(files=dict(mirror.files))) as other:
        mirror.fail(NAMES[0], [Fault(status=302, headers={"Location": f"{other.url}baseline/{NAMES[0]}"})])
        mirror.fail(NAMES[1], [Fault(status=302, headers={"Location": f"/pubmed/baseline/{NAMES[2]}"})])
        mirror.files[f"/pubmed/baseline/{NAMES[1]}.md5"] = mirror.files[f"/pubmed/baseline/{NAMES[2]}.md5"]
        done = fetch("1-2")
    assert done.failed[0].reason.startswith("sends on to another server, 127.0.0.1:")
    assert other.requests == []
    assert (tmp_path / NAMES[1]).read_bytes() == CONTENT[3]


@pytest.mark.parametrize(
    "url", ["ftp://127.0.0.1/pubmed/", "file:///etc/", "pubmed/", "http://", "http://a b/", "http://h:x/", "https://me:secret@host:x/"]
)
def test_only_http_and_https_without_password_are_spoken(fetch: Callable[..., Download], url: str) -> None:
    with pytest.raises(ConfigError) as error:
        fetch(url=url)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(("name", "scheme"), [("http_proxy", "http"), ("HTTPS_PROXY", "https")])
def test_the_proxy_of_the_environment_is_used(
    mirror: Mirror, fetch: Callable[..., Download], monkeypatch: pytest.MonkeyPatch, name: str, scheme: str
) -> None:
    monkeypatch.setenv(name, mirror.url.removesuffix("/pubmed/"))
    with pytest.raises(DataError, match=r"Try again later|Check the address"):
        fetch(url=f"{scheme}://mirror.invalid/pubmed/", retries=0)
    method, target, _ = mirror.requests[0]
    assert (method, target) == (
        ("GET", "http://mirror.invalid/pubmed/baseline/") if scheme == "http" else ("CONNECT", "mirror.invalid:443")
    )


@pytest.mark.skipif(which("openssl") is None, reason="needs openssl to make a certificate")
def test_a_certificate_of_nobody_is_refused(fetch: Callable[..., Download], slept: list[float], tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=127.0.0.1"]
    subprocess.run(
        [*command, "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate], check=True, capture_output=True
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with serving(Mirror(), tls=context) as secure, pytest.raises(DataError, match="its certificate is not to be trusted"):
        fetch(url=secure.url)
    assert secure.requests == []
    assert slept == []


def test_a_server_that_is_not_there_is_one_line(fetch: Callable[..., Download], slept: list[float]) -> None:
    with serving(Mirror()) as gone:
        pass
    with pytest.raises(
        DataError, match=r"^connection refused, at attempt 3 \(http://127\.0\.0\.1:\d+/pubmed/baseline/\)\. Try again later\.$"
    ):
        fetch(url=gone.url, retries=2)
    assert slept == [1, 2]


def test_a_server_that_does_not_answer_is_given_up(slept: list[float]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        web = Web(retries=1, timeout_seconds=0.05, sleep=slept.append)
        with pytest.raises(DataError, match=r"^no answer in time, at attempt 2 "):
            web.page(f"http://127.0.0.1:{silent.getsockname()[1]}/")
    assert slept == [1]


def test_a_fault_of_the_own_disk_is_not_waited_for(
    mirror: Mirror, fetch: Callable[..., Download], slept: list[float], tmp_path: Path
) -> None:
    md5 = mirror.files[f"/pubmed/baseline/{NAMES[0]}.md5"].split()[-1].decode()
    (tmp_path / f"{NAMES[0]}.{md5}.part").mkdir()
    with pytest.raises(IsADirectoryError):
        fetch("1")
    assert slept == []


def test_an_endless_index_is_refused(mirror: Mirror, fetch: Callable[..., Download]) -> None:
    mirror.files["/pubmed/baseline/"] = b" " * (17 * 2**20)
    with pytest.raises(DataError, match="longer than 16,777,216 bytes"):
        fetch()


def test_a_plan_asks_for_sizes_and_a_sample_and_writes_nothing(mirror: Mirror, tmp_path: Path) -> None:
    times = iter([100.0, 100.5])
    planned = plan("baseline", tmp_path / "out", parse_numbers("1-2,6"), url=mirror.url, web=Web(clock=lambda: next(times)))
    total = len(CONTENT[1]) + len(CONTENT[2])
    assert (planned.to_fetch, planned.bytes, planned.of_unknown_size) == (NAMES[:2], total, 0)
    assert planned.bytes_per_second == len(CONTENT[1]) / 0.5
    assert planned.seconds == pytest.approx(total / len(CONTENT[1]) * 0.5)
    assert [failure.name for failure in planned.failed] == ["6"]
    assert not (tmp_path / "out").exists()


def test_the_sample_is_no_longer_than_it_must_be(mirror: Mirror, tmp_path: Path) -> None:
    mirror.publish(1, b"x" * 2 * RATE_SAMPLE_BYTES)
    mirror.knows_ranges = False
    times = iter([100.0, 101.0])
    planned = plan("baseline", tmp_path, parse_numbers("1"), url=mirror.url, web=Web(clock=lambda: next(times)))
    assert planned.bytes_per_second == RATE_SAMPLE_BYTES


def test_a_plan_with_a_rate_fetches_no_file(mirror: Mirror, fetch: Callable[..., Download], tmp_path: Path) -> None:
    fetch("1")
    mirror.requests.clear()
    mirror.fail(NAMES[1], [Fault(status=404)])
    planned = plan("baseline", tmp_path, None, url=mirror.url, bytes_per_second=1000)
    assert (planned.present, planned.to_fetch, [failure.name for failure in planned.failed]) == (NAMES[:1], NAMES[1:], NAMES[1:2])
    assert planned.seconds == (len(CONTENT[3]) + len(CONTENT[4])) / 1000
    assert [method for method, _, _ in mirror.requests] == ["GET", "HEAD", "HEAD", "HEAD"]


def test_updates_lie_in_the_other_folder(tmp_path: Path) -> None:
    mirror = Mirror()
    mirror.publish(1335, CONTENT[1], part="updatefiles")
    with serving(mirror):
        done = download("updatefiles", tmp_path, url=mirror.url.rstrip("/"), web=Web())
    assert done.fetched == ["pubmed26n1335.xml.gz"]


@pytest.mark.parametrize("text", ["", "a", "5-1", "1-", "-3", "1;2", "1-2-3", "1,,2"])
def test_numbers_of_another_form_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="not a range of file numbers"):
        parse_numbers(text)


@given(
    listed=st.sets(st.integers(0, 60)),
    asked=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20)).map(lambda pair: (pair[0], sum(pair))), min_size=1, max_size=3),
)
def test_every_wanted_number_is_chosen_or_named_as_absent(listed: set[int], asked: list[tuple[int, int]]) -> None:
    index = "".join(f'<a href="pubmed26n{n:04d}.xml.gz">pubmed26n{n:04d}.xml.gz</a><a href="pubmed26n{n:04d}.xml.gz.md5">' for n in listed)
    chosen, absent = choose(index, parse_numbers(",".join(f"{first}-{last}" for first, last in asked)))
    wanted = {number for first, last in asked for number in range(first, last + 1)}
    missing = {number for gap in absent for part in parse_numbers(gap) for number in part}
    assert chosen == [f"pubmed26n{number:04d}.xml.gz" for number in sorted(wanted & listed)]
    assert missing == wanted - listed
    assert choose(index, None) == ([f"pubmed26n{number:04d}.xml.gz" for number in sorted(listed)], [])
