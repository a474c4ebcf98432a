"""The page in a real browser: by keyboard, in light and dark, with nothing from outside."""

import os
from pathlib import Path

import pytest
from browser import CHROMIUM, chromium

from running_server import NOTES, running

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
PICTURES = os.environ.get("PICTURES")
"""Folder that keeps screenshots, for people to look at."""
NOTE = "Reason: <b>chest pain</b> & cough \U0001fac1.\nStarted on lisinopril for hypertension. No fever.\n"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("profile")) as found:
        yield found


def picture(page, name):
    if PICTURES:
        page.picture(Path(PICTURES) / f"{name}.png")


def test_entities_are_marked_on_the_text_by_keyboard_alone(page, tagger):
    page.open(tagger.url)
    page.run("document.querySelector('#note').focus()")
    page.write(NOTE)
    page.press("Enter", ctrl=True)
    page.until("!document.querySelector('#entities').hidden")
    expected = tagger.ask("/tag", {"inputs": NOTE}).json
    marked = page.run("[...document.querySelectorAll('mark')].map((mark) => [mark.firstChild.data, mark.querySelector('sub').textContent])")
    assert marked == [[one["text"], one["label"]] for one in expected]
    shown = "(() => { const t = document.querySelector('#marked').cloneNode(true); t.querySelectorAll('sub').forEach((s) => s.remove());"
    assert page.run(shown + " return t.textContent; })()") == NOTE
    picture(page, "entities-light")


def test_twenty_pages_are_marked_to_their_end(page, tagger):
    page.open(tagger.url)
    text = "\n".join(f"Day {day}. " + " ".join(NOTES * 10) for day in range(60))
    page.run("document.querySelector('#note').focus()")
    page.write(text)
    page.press("Enter", ctrl=True)
    page.until("!document.querySelector('#entities').hidden")
    assert len(text) > 60_000
    assert page.run("document.querySelector('#marked').lastElementChild.textContent.length") > 0
    assert "tokens in" in page.run("document.querySelector('#status').textContent")
    picture(page, "twenty-pages")


@pytest.mark.parametrize("dark", [False, True])
def test_a_masked_word_gets_candidates_with_bars(page, server, dark):
    page.dark(dark)
    page.open(server.url)
    page.run("document.querySelector('#note').focus()")
    page.write(NOTE)
    page.run("document.querySelector('#note').setSelectionRange(60, 60)")
    page.press("Tab")
    assert page.run("document.activeElement.id") == "fill-mask"
    page.press("Enter")
    page.until("document.querySelectorAll('#candidates li').length === 8")
    widths = page.run("[...document.querySelectorAll('#candidates i')].map((bar) => bar.getBoundingClientRect().width)")
    assert widths == sorted(widths, reverse=True)
    assert widths[0] > 0
    assert page.run("document.activeElement.id") == "fill-mask"
    background = page.run("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(255, 255, 255)") != dark
    picture(page, f"mask-{'dark' if dark else 'light'}")
    page.dark(False)


def test_notes_are_compared_and_a_loaded_set_is_searched(page, server):
    page.open(server.url)
    for field in ("note", "other"):
        page.run(f"document.querySelector('#{field}').focus()")
        page.write(NOTES[0])
    page.press("Tab")
    page.press("Enter")
    assert page.until("document.querySelector('#similarity output')?.textContent") == "1.000"
    page.press("Tab")
    assert page.run("document.activeElement.id") == "query"
    page.write(NOTES[1])
    page.press("Enter")
    page.until("document.querySelectorAll('#hits li').length === 3")
    assert page.run("document.querySelector('#hits b').textContent") == "note-1"
    assert NOTES[1] in page.run("document.querySelector('#hits li').textContent")
    picture(page, "compare-and-search")


def test_a_dropped_file_becomes_the_note(page, server):
    page.open(server.url)
    script = """(() => { const files = new DataTransfer(); files.items.add(new File(["A dropped note."], "note.txt"));
        document.querySelector('#note').dispatchEvent(new DragEvent("drop", { dataTransfer: files, cancelable: true })); })()"""
    page.run(script)
    assert page.until("document.querySelector('#note').value") == "A dropped note."


def test_a_refusal_is_told_in_words(page, server):
    page.open(server.url)
    page.run("document.querySelector('#fill-mask').click()")
    assert "Put the cursor" in page.until("document.querySelector('#error').textContent")
    picture(page, "refusal")


def test_a_server_with_tokens_asks_for_one_and_takes_it(page, folder, tmp_path):
    (tmp_path / "tokens").write_text("ward:a-token-of-some-length\n")
    with running(folder("masked"), "--tokens", str(tmp_path / "tokens"), log=tmp_path / "log") as server:
        page.open(server.url)
        assert page.run("document.querySelector('#model').textContent") == "This server asks for a token."
        picture(page, "token")
        page.run("document.querySelector('#token').focus()")
        page.write("a-token-of-some-length")
        page.press("Tab")
        assert "weights" in page.until(
            "document.querySelector('#model').textContent.includes('weights') && document.querySelector('#model').textContent"
        )
        page.run("sessionStorage.clear()")


def test_the_page_loads_nothing_from_outside_and_complains_of_nothing(page, server):
    page.requests.clear()
    page.complaints.clear()
    page.open(server.url)
    assert page.requests
    assert all(url.startswith((server.url, "data:")) for url in page.requests)
    assert page.complaints == []


def test_every_control_has_a_name(page, server):
    page.open(server.url)
    tree = page.call("Accessibility.getFullAXTree")["nodes"]
    controls = [node for node in tree if node.get("role", {}).get("value") in {"button", "textbox", "searchbox"}]
    assert len(controls) >= 6
    assert [node for node in controls if not node["name"]["value"]] == []
