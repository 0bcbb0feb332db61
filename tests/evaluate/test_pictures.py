import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from stages.common.errors import UserError
from stages.common.schema import Params
from stages.common.store import Store
from stages.drawing import Section, Tile, draw, png
from stages.evaluate import augmented, mistakes
from stages.evaluate.augmented import choose, count_epochs, draw_augmented, spread, to_bytes
from stages.evaluate.mistakes import draw_mistakes
from stages.model.classifier import Classifier
from stages.train.augment import Augmentation
from tests.conftest import meta_of


@pytest.fixture
def sections(monkeypatch: pytest.MonkeyPatch) -> list[Section]:
    """What the pictures drawn in a test consist of."""
    seen: list[Section] = []

    def draw_and_keep(drawn: list[Section], read: object) -> Image.Image:
        seen.extend(drawn)
        return draw(drawn, read)  # type: ignore[arg-type]

    monkeypatch.setattr(mistakes, "draw", draw_and_keep)
    monkeypatch.setattr(augmented, "draw", draw_and_keep)
    return seen


def predict(store: Store, wrong: dict[str, float]) -> pd.DataFrame:
    """Return right predictions of the test split, but for some paths with the given confidence."""
    rows = store.manifest.iloc[store.indices("test")]
    other = rows["class"].map({"dark": "light", "light": "dark"})
    return pd.DataFrame(
        {
            "path": rows["path"],
            "actual": rows["class"],
            "predicted": rows["class"].where(~rows["path"].isin(wrong), other),
            "confidence": rows["path"].map(wrong).fillna(0.99),
        }
    )


def test_the_most_confident_mistake_comes_first(
    store: Store, sections: list[Section], classifier: Classifier
) -> None:
    wrong = {"dark/50.png": 0.6, "light/53.png": 0.9321, "dark/52.png": 0.6}
    draw_mistakes(predict(store, wrong), store, classifier)
    (section,) = sections
    assert section.title == "Mistakes on 10 test photos: all 3, most confident first"
    assert section.tiles == [
        Tile(0, ("is light", "predicted dark", "confidence 93.2%", "53.png")),
        Tile(1, ("where it found", "the dark")),
        Tile(2, ("is dark", "predicted light", "confidence 60.0%", "50.png")),
        Tile(3, ("where it found", "the light")),
        Tile(4, ("is dark", "predicted light", "confidence 60.0%", "52.png")),
        Tile(5, ("where it found", "the light")),
    ]


def test_only_the_most_confident_mistakes_are_drawn(
    store: Store,
    sections: list[Section],
    monkeypatch: pytest.MonkeyPatch,
    classifier: Classifier,
) -> None:
    monkeypatch.setattr(mistakes, "MOST", 2)
    wrong = {"dark/50.png": 0.6, "light/53.png": 0.9, "dark/52.png": 0.7}
    draw_mistakes(predict(store, wrong), store, classifier)
    assert sections[0].title == "Mistakes on 10 test photos: the 2 most confident of 3"
    assert [tile.caption[-1] for tile in sections[0].tiles[::2]] == ["53.png", "52.png"]


def test_a_test_without_mistakes_says_so(
    store: Store, sections: list[Section], classifier: Classifier
) -> None:
    picture = draw_mistakes(predict(store, {}), store, classifier)
    assert sections[0].title == "No mistakes: all 10 test photos are classified correctly"
    assert picture.height < 100


def test_augmented_photos_are_what_the_network_saw(
    store: Store, params: Params, sections: list[Section]
) -> None:
    picture = draw_augmented(store, meta_of(store), params.train, epochs=3)
    _, first, *rest = sections
    assert first.title == "dark"
    assert [tile.caption for tile in first.tiles] == [
        ("as stored",),
        ("epoch 1", "16 px"),
        ("epoch 2", "16 px"),
        ("epoch 3", "28 px"),
    ]
    assert [section.title for section in rest] == ["light", "dark", "light", "dark"]

    augment = Augmentation(params.train, meta_of(store), n_photos=40, epoch=3, size_px=28)
    seen = augment(torch.from_numpy(store.images[:40].copy()), torch.arange(40))
    tile = Image.fromarray(to_bytes(seen[:1], meta_of(store))[0]).resize((96, 96), 3)
    left, upper = 20 + 3 * 104, 20 + sections[0].height_px + 34 + 4
    np.testing.assert_array_equal(picture.crop((left, upper, left + 96, upper + 96)), tile)


def test_epochs_that_never_happened_are_not_drawn(
    store: Store, params: Params, sections: list[Section]
) -> None:
    """A training of three epochs that ended early, after the second."""
    draw_augmented(store, meta_of(store), params.train, epochs=2)
    assert [tile.caption for tile in sections[1].tiles] == [
        ("as stored",),
        ("epoch 1", "16 px"),
        ("epoch 2", "16 px"),
    ]


def test_epochs_are_counted_in_the_record_of_the_training(tmp_path: Path) -> None:
    path = tmp_path / "loss.csv"
    with pytest.raises(UserError, match=r"loss\.csv: not found; train again"):
        count_epochs(3, path)
    path.write_text("epoch,train_loss\n1,2\n2,1\n")
    assert count_epochs(3, path) == 2
    many = "epoch\n1\n2\n3\n4\n"
    for odd in ("", "a,b\n1,2\n", "\x00", "epoch\nx\n", "epoch\n2\n", many):
        path.write_text(odd)
        with pytest.raises(UserError, match=r"loss\.csv: is not a record of epochs"):
            count_epochs(3, path)


def test_normalized_photos_become_the_same_bytes_again(store: Store) -> None:
    pixels = store.images[:3]
    seen = torch.from_numpy((pixels / 255 - 0.5) / 0.25).permute(0, 3, 1, 2)
    np.testing.assert_array_equal(to_bytes(seen, meta_of(store)), pixels)


def test_colors_beyond_white_stay_white(store: Store) -> None:
    assert to_bytes(torch.tensor([9.0, -9, 0]).reshape(1, 3, 1, 1), meta_of(store)).tolist() == [
        [[[255, 0, 128]]]
    ]


def test_the_first_photos_of_each_class_are_chosen_in_turn() -> None:
    assert choose(np.array([0, 0, 0, 0, 1, 2, 2])).tolist() == [0, 4, 5, 1, 6]


@pytest.mark.parametrize(
    ("epochs", "expected"), [(0, []), (1, [1]), (3, [1, 2, 3]), (100, [1, 26, 50, 75, 100])]
)
def test_epochs_are_spread_from_first_to_last(epochs: int, expected: list[int]) -> None:
    assert spread(epochs, 5) == expected


def test_pictures_are_the_same_bytes_every_time(
    store: Store, params: Params, classifier: Classifier
) -> None:
    predictions = predict(store, {"dark/50.png": 0.6})

    def draw() -> bytes:
        augmented = draw_augmented(store, meta_of(store), params.train, epochs=3)
        return png(draw_mistakes(predictions, store, classifier)) + png(augmented)

    assert draw() == draw()


def test_long_captions_stay_within_their_tile() -> None:
    name = "a_very_long_name_of_a_photo_that_no_tile_has_room_for.jpg"
    white = np.full((8, 8, 3), 255, np.uint8)
    picture = draw([Section("title", [Tile(0, (name,)), Tile(0)], 7)], lambda _: white)
    ink = np.asarray(picture)[54 + 4 + 140 :].min(axis=(0, 2)) < 128
    assert np.flatnonzero(ink).max() < 20 + 140
    assert np.flatnonzero(ink).max() > 100


def test_a_picture_can_be_opened(store: Store, classifier: Classifier) -> None:
    content = png(draw_mistakes(predict(store, {"dark/50.png": 0.6}), store, classifier))
    with Image.open(io.BytesIO(content)) as image:
        assert image.format == "PNG"
        assert image.width == 1072


@pytest.mark.parametrize("letters", [20_000, 1_100_000])
def test_a_caption_of_any_length_is_cut_before_it_is_measured(letters: int) -> None:
    tiles = [Tile(None, ("x" * letters,))]
    picture = draw([Section("y" * letters, tiles)], lambda _: np.zeros((1, 1, 3), np.uint8))
    assert picture.width < 1100
