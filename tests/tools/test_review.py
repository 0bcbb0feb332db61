"""The review page: what it shows, that strangers' names stay text, and what a person does on it."""

import csv
import json
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from stages.common.errors import UserError
from stages.common.store import Store, open_store
from stages.model.classifier import Classifier
from stages.model.flowernet import build_flowernet
from stages.model.folder import save_classifier
from stages.photos.photo import Photo, decode_photo
from stages.prepare.listing import list_photos
from stages.prepare.stage import prepare_store
from tests.browser import BROWSER, Browser
from tests.conftest import meta_of
from tests.hazards import jpeg, plant_clean, settings
from tools.relabel import main as relabel
from tools.review.__main__ import MOST, main

HOSTILE = "<img src=x onerror=alert(1)>"
QUOTED = '=1+1, "a"'
CLASSES = (HOSTILE, QUOTED, "rose")
DOUBT = "path,label,better_label,label_probability,better_probability"
Review = Callable[..., dict[str, Any]]


@pytest.fixture
def store(own_photos: Path) -> Store:
    """A project's store of 10 photos a class, and two that are the same in two classes."""
    photos = own_photos
    plant_clean(photos, CLASSES)
    for name in CLASSES[1:]:
        (photos / name / "twin.jpg").write_bytes(jpeg(9999))
    Path("data/prepared").mkdir()
    prepare_store(photos, settings(), Path("data/prepared"), workers=1)
    return open_store(Path("data/prepared"))


@pytest.fixture
def review(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Review:
    """Make the page; return its data, and what was printed."""

    def make(*options: str) -> dict[str, Any]:
        monkeypatch.setattr(sys, "argv", ["review", *options])
        main()
        page = Path("review.html").read_text()
        text = page.partition('id="data">')[2].partition("</script>")[0]
        data: dict[str, Any] = json.loads(text)
        return data | {"printed": capsys.readouterr().out, "page": page}

    return make


def write_tables(store: Store) -> None:
    """Doubt the first photo; predict the second wrongly, the third rightly but unsurely."""
    first, second, third = (store.manifest.iloc[i] for i in (0, 1, 2))
    Path("metrics/crossval").mkdir(parents=True)
    write("metrics/crossval/suspects.csv", DOUBT, [first["path"], first["class"], "rose", 0.1, 0.9])
    write(
        "metrics/predictions.csv",
        "path,actual,predicted,confidence",
        [first["path"], first["class"], "rose", 0.9],
        [second["path"], second["class"], QUOTED, 0.8],
        [third["path"], third["class"], third["class"], 0.4],
    )


def write(path: str, header: str, *rows: list[Any]) -> None:
    with Path(path).open("w", newline="") as file:
        csv.writer(file).writerows([header.split(","), *rows])


def titles(data: dict[str, Any]) -> dict[str, list[str]]:
    return {one["title"]: [card["path"] for card in one["cards"]] for one in data["sections"]}


def test_each_photo_is_in_the_first_section_that_has_it(store: Store, review: Review) -> None:
    write_tables(store)
    data = review()
    path = store.manifest["path"]
    assert titles(data) == {
        "Doubtful labels": [path[0]],
        "Mistakes": [path[1]],
        "Alike across classes": [f"{QUOTED}/twin.jpg", "rose/twin.jpg"],
    }
    twin = data["sections"][2]["cards"][0]
    assert (twin["label"], twin["better_label"]) == (QUOTED, "rose")
    assert twin["photo"].startswith("data:image/jpeg;base64,")
    assert "without what the network says: models/model.json: not found" in data["printed"]


def test_a_model_of_this_store_shows_where_it_looked(store: Store, review: Review) -> None:
    write_tables(store)
    torch.manual_seed(0)
    meta = meta_of(store)
    save_classifier(Classifier(build_flowernet(8, len(meta.classes)).eval(), meta), Path("models"))
    cards = [card for one in review()["sections"] for card in one["cards"]]
    assert all(card["looked"].startswith("data:") for card in cards)
    assert cards[0]["label_probability"] == 0.1  # the table's
    assert 0 < cards[1]["label_probability"] < 1
    assert cards[1]["better_probability"] == 0.8


def test_a_photo_without_a_label_comes_from_its_file(review: Review) -> None:
    Path("data/photos/new.jpg").write_bytes(jpeg(2000))
    write(
        "next.csv",
        DOUBT,
        ["data/photos/new.jpg", "", "rose", "", 0.7],
        ["data/photos/gone.jpg", "", "rose", "", 0.7],
        ["data/photos/a\0.jpg", "", "rose", "", 0.7],
    )
    data = review("--table", "next.csv")
    assert titles(data)["Doubts of next.csv"] == ["data/photos/new.jpg"]
    assert "Doubts of next.csv: 1 photo, 2 not found with that label" in data["printed"]


def test_a_new_photo_must_be_below_the_photos(review: Review) -> None:
    write("next.csv", DOUBT, ["new.jpg", "", "rose", "", 0.7])
    with pytest.raises(UserError, match=r"next\.csv: new\.jpg is not below data/photos"):
        review("--table", "next.csv")


def test_a_label_of_another_store_is_left_out(store: Store, review: Review) -> None:
    write("old.csv", DOUBT, [store.manifest["path"][0], "rose", HOSTILE, 0.1, 0.9])
    assert titles(review("--table", "old.csv"))["Doubts of old.csv"] == []


def test_a_section_is_bounded(review: Review) -> None:
    Path("data/photos/new").mkdir()
    rows = []
    for number in range(MOST + 3):
        Path(f"data/photos/new/{number}.jpg").write_bytes(jpeg(3000 + number))
        rows.append([f"data/photos/new/{number}.jpg", "", "rose", "", 0.7])
    write("next.csv", DOUBT, *rows)
    section = review("--table", "next.csv")["sections"][-1]
    assert (len(section["cards"]), section["more"]) == (MOST, 3)


@pytest.mark.parametrize(
    "content", ["path,label\n", "", None, f"{DOUBT}\na,b,c,x,1\n", f"{DOUBT}\na,b,c,0,inf\n"]
)
def test_a_table_has_its_columns(review: Review, content: str | None) -> None:
    if content is not None:
        Path("t.csv").write_text(content)
    with pytest.raises(UserError, match=r"t\.csv: must be a table with the columns path,label"):
        review("--table", "t.csv")
    assert not Path("review.html").exists()


def test_rejected_photos_fit_as_those_of_the_store(
    store: Store, review: Review, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree("data/prepared")
    Path("data/prepared").mkdir()
    prepare_store(Path("data/photos"), settings(fit="stretch"), Path("data/prepared"), 1)
    asked: list[str] = []

    def decode(*arguments: Any) -> Photo:
        asked.append(arguments[2])
        return decode_photo(*arguments)

    monkeypatch.setattr("tools.review.__main__.decode_photo", decode)
    review()
    assert set(asked) == {"stretch"}


def test_names_are_no_html(store: Store, review: Review) -> None:
    write_tables(store)
    page = review()["page"]
    assert HOSTILE not in page
    assert page.count("</script>") == 2
    assert page.count("sha256-") == 2
    assert "http:" not in page
    assert "https:" not in page


needs_browser = pytest.mark.skipif(BROWSER is None, reason="there is no Chromium")


def open_page(browser: Browser) -> list[str]:
    browser.open(Path("review.html"))
    paths: list[str] = browser.run("cards.map(card => card.photo.path)")
    return paths


def reviewed(browser: Browser) -> str:
    return str(browser.run("document.getElementById('count').textContent"))


@needs_browser
def test_a_person_reviews_and_relabel_applies_it(
    store: Store, review: Review, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tables(store)
    review()
    with Browser(Path("profile")) as browser:
        paths = open_page(browser)
        for key in ("ArrowRight", "2", "1", "1", "k", "1"):  # the third is kept, and taken back
            browser.press(key)
        assert reviewed(browser) == "2 of 4 reviewed"
        browser.press("j")
        browser.press("4")
        open_page(browser)
        assert reviewed(browser) == "3 of 4 reviewed"
        browser.run("cards[1].element.focus()")
        browser.press("3")
        names = browser.run("[...document.activeElement.options].map(one => one.value)")
        assert names == ["", QUOTED, "rose"]
        browser.run("cards[1].select.value = 'rose'; cards[1].select.onchange()")
        download(browser)
        assert browser.run("document.querySelectorAll('img[src=x]').length") == 0
        assert browser.errors == []
    with Path("decisions.csv").open(newline="") as file:
        decisions = [row["path"] + " " + row["decision"] for row in csv.DictReader(file)]
    assert decisions == [f"{paths[0]} relabel", f"{paths[1]} relabel", f"{paths[3]} remove"]
    monkeypatch.setattr(sys, "argv", ["relabel", "decisions.csv"])
    relabel()
    listing = list_photos(Path("data/photos"), 10**9)
    found = {one.entry.name: one.class_name for one in listing.candidates}
    assert (found[paths[0]], found[paths[1]]) == ("rose", "rose")
    assert paths[2] in found
    assert paths[3] not in found
    assert listing.rejected == []


def download(browser: Browser) -> None:
    folder = str(Path().resolve())
    browser.send("Page.setDownloadBehavior", behavior="allow", downloadPath=folder)
    browser.run("document.getElementById('download').click()")
    end = time.monotonic() + 30
    while not Path("decisions.csv").exists():
        assert time.monotonic() < end, "no download"
        time.sleep(0.1)


@needs_browser
def test_decisions_on_another_store_do_not_mix(store: Store, review: Review) -> None:
    write_tables(store)
    page = review()["page"]
    with Browser(Path("profile")) as browser:
        open_page(browser)
        browser.press("j")
        browser.press("1")
        assert reviewed(browser) == "1 of 4 reviewed"
        Path("review.html").write_text(page.replace(store.meta.sha256, "0" * 64))
        open_page(browser)
        assert reviewed(browser) == "0 of 4 reviewed"


@needs_browser
def test_injected_script_does_not_run(review: Review) -> None:
    page = review()["page"].replace("<main>", "<script>document.title = 'x'</script><main>")
    Path("review.html").write_text(page)
    with Browser(Path("profile")) as browser:
        open_page(browser)
        assert browser.run("document.title") == "Review labels"
        assert any("Content Security Policy" in error for error in browser.errors)
