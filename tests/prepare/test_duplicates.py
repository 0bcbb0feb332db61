"""Photos that are the same, and photos that look the same."""

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageEnhance, ImageOps

from stages.prepare.duplicates import (
    group_near_duplicates,
    list_alike,
    mark_leaks,
    mark_same_pixels,
)
from stages.prepare.perceptual_hash import _candidates, mirrored, pairs_within, perceptual_hash
from tests.hazards import encoded, photo, settings


def table(*rows: tuple[str, str, str]) -> pd.DataFrame:
    """Return photos from (path, sha256, pixels)."""
    frame = pd.DataFrame(rows, columns=["path", "sha256", "pixels_sha256"])
    frame["class"] = frame["path"].str.split("/").str[0]
    return frame.assign(given="", reason="", detail="")


def test_the_first_of_the_same_pixels_is_kept():
    found = mark_same_pixels(table(("a/1", "s1", "p"), ("a/2", "s2", "p"), ("a/3", "s3", "q")))
    assert found["reason"].tolist() == ["", "duplicate", ""]
    assert found["detail"][1] == "same pixels as a/1"


def test_same_pixels_under_two_labels_are_all_rejected():
    found = mark_same_pixels(table(("a/1", "s1", "p"), ("a/2", "s2", "p"), ("b/1", "s3", "p")))
    assert found["reason"].tolist() == ["conflicting_label"] * 3
    assert found["detail"][0] == "same pixels under a, b"


def test_photos_rejected_before_are_no_twins():
    photos = table(("a/1", "s1", ""), ("a/2", "s2", ""))
    photos["reason"] = "empty"
    found = mark_same_pixels(photos)
    assert found["reason"].tolist() == ["empty", "empty"]
    assert found["content_key"].tolist() == ["s1", "s2"]


def test_the_strictest_given_split_keeps_the_same_pixels():
    photos = table(("train/a", "s1", "p"), ("validation/a", "s2", "p"), ("test/a", "s3", "p"))
    found = mark_same_pixels(photos.assign(given=photos["class"], **{"class": "a"}))
    assert found["reason"].tolist() == ["leak", "leak", ""]
    assert found["detail"].tolist() == ["same pixels as test/a", "same pixels as test/a", ""]


def test_the_strictest_given_split_keeps_a_group():
    photos = pd.DataFrame(
        {
            "path": ["train/1", "val/2", "train/3", "val/4", "val/5", "test/6", "test/7"],
            "given": ["train", "validation", "train", "validation", "validation", "test", "test"],
            "group": ["g", "g", "h", "h", "h", "", "i"],
            "looks": ["g", "g", "m", "h", "k", "", "i"],
            "reason": ["", "", "", "", "", "empty", ""],
            "detail": ["", "", "", "", "", "no bytes", ""],
        }
    )
    found = mark_leaks(photos)
    assert found["reason"].tolist() == ["leak", "", "leak", "", "", "empty", ""]
    assert found["detail"].tolist() == [
        "looks like val/2", "", "has the group of val/4 in labels.csv", "", "", "no bytes", "",
    ]  # fmt: skip


def test_renaming_files_changes_no_content_key():
    one = mark_same_pixels(table(("a/1", "s2", "p"), ("a/2", "s1", "p")))
    other = mark_same_pixels(table(("a/1", "s1", "p"), ("a/2", "s2", "p")))
    assert one["content_key"][0] == other["content_key"][0] == "s1"


def all_pairs(left: np.ndarray, right: np.ndarray, bits: int) -> list[list[int]]:
    distance = np.bitwise_count(left[:, None] ^ right[None, :])
    return np.argwhere(np.triu(distance <= bits, k=1)).tolist()


@pytest.mark.parametrize("bands", [3, 4, 7, 16])
@pytest.mark.parametrize("bits", [0, 1, 3, 4, 8, 12, 16])
def test_pairs_within_are_those_that_comparing_all_finds(bits, bands, monkeypatch):
    monkeypatch.setattr("stages.prepare.perceptual_hash._choose_bands", lambda *_: bands)
    random = np.random.default_rng(bits)
    seeds = random.integers(0, 2**63, 40, dtype=np.uint64)
    noise = np.bitwise_or.reduce(
        np.uint64(1) << random.integers(0, 64, (400, 9), dtype=np.uint64), axis=1
    )
    prints = np.unique(random.choice(seeds, 400) ^ noise)
    assert pairs_within(prints, prints, bits).tolist() == all_pairs(prints, prints, bits)
    mirror = mirrored(prints)
    assert pairs_within(prints, mirror, bits).tolist() == all_pairs(prints, mirror, bits)


def test_pairs_within_are_the_same_when_compared_in_small_blocks(monkeypatch):
    prints = np.unique(np.random.default_rng(0).integers(0, 2**18, 500, dtype=np.uint64))
    expected = pairs_within(prints, prints, 5)
    monkeypatch.setattr("stages.prepare.perceptual_hash.BLOCK", 64)
    np.testing.assert_array_equal(pairs_within(prints, prints, 5), expected)


@pytest.mark.parametrize(("bits", "most"), [(0, 0.0016), (8, 0.004)])
def test_only_photos_with_a_similar_band_are_compared(bits, most, monkeypatch):
    prints = np.unique(np.random.default_rng(0).integers(0, 2**64, 1000, dtype=np.uint64))
    sizes = []

    def counted(left, right, masks):
        for i, j in _candidates(left, right, masks):
            sizes.append(len(i))
            yield i, j

    monkeypatch.setattr("stages.prepare.perceptual_hash._candidates", counted)
    pairs_within(prints, prints, bits)
    assert sum(sizes) < most * 4 * len(prints) ** 2
    sizes.clear()
    monkeypatch.setattr("stages.prepare.perceptual_hash.BLOCK", 200)
    pairs_within(prints, prints, bits)
    assert max(sizes) < 250  # a block, and the photos of one more value
    assert len(sizes) < 4000  # not one for each photo


def test_pairs_within_of_nothing_are_none():
    nothing = np.array([], np.uint64)
    assert pairs_within(nothing, nothing, 8).shape == (0, 2)


def square(image: Image.Image) -> Image.Image:
    return ImageOps.fit(image, (128, 128))


def distance(one: Image.Image, other: Image.Image) -> int:
    return (perceptual_hash(square(one)) ^ perceptual_hash(square(other))).bit_count()


@pytest.mark.parametrize("seed", range(8))
def test_copies_have_near_hashes_and_others_far_ones(seed):
    image = photo(seed, 320, 240)
    small = image.resize((160, 120))
    bright = ImageEnhance.Brightness(image).enhance(1.1)
    cropped = image.crop((2, 1, 318, 239))
    assert distance(image, small) <= 4
    assert distance(image, bright) <= 8
    assert distance(image, cropped) <= 8
    assert distance(image, photo(seed + 100, 320, 240)) > 12


def test_mirrored_turns_a_hash_into_that_of_the_mirror_image():
    for seed in range(8):
        image = square(photo(seed, 320, 240))
        turned = mirrored(np.array([perceptual_hash(image)], np.uint64))[0]
        assert (int(turned) ^ perceptual_hash(ImageOps.mirror(image))).bit_count() <= 1


def test_blank_photos_have_one_perceptual_hash():
    assert {
        perceptual_hash(Image.new("RGB", (32, 32), gray)) for gray in ("black", "#777", "white")
    } == {0}


@pytest.mark.parametrize(
    ("side", "expected"), [(128, "2ca3d35c1d1bc730"), (150, "2cf3d35c1d9b4770")]
)
def test_perceptual_hash_does_not_change_with_versions(side, expected):
    assert f"{perceptual_hash(photo(1, side, side)):016x}" == expected


GREEN, RED, GRAY = (50, 100, 25), (100, 50, 25), (60, 60, 60)
"""Mean values; such photos vary by 40 from pixel to pixel."""


def looks(hashes: list[int], classes: str = "", colors=(), flat: bool = False) -> pd.DataFrame:
    """Return photos whose content keys are z, y, x, ..."""
    pixels = settings().image_size_px ** 2
    mean = np.array([colors[n] if colors else GREEN for n in range(len(hashes))])
    squares = mean**2 + (0 if flat else 40**2)
    return pd.DataFrame(
        {
            "perceptual_hash": hashes,
            "class": list(classes or "a" * len(hashes)),
            "content_key": [chr(ord("z") - n) for n in range(len(hashes))],
            "sums": [tuple(each) for each in (mean * pixels).tolist()],
            "squares": [tuple(each) for each in (squares * pixels).tolist()],
            "reason": "",
            "source": "",
        }
    )


def groups(photos: pd.DataFrame, column: str = "group", **changes) -> str:
    found = group_near_duplicates(photos, settings(**changes))
    return "".join(each or "-" for each in found[column])


FAR, MIRRORED = 2**64 - 1, int(mirrored(np.array([5], np.uint64))[0])


def test_photos_that_others_link_are_one_group():
    photos = looks([0b001, 0b010, 0b111101, 0b111110, FAR])  # 0-1 and 2-3 are near, and so are 1-3
    assert groups(photos, near_duplicate_bits=2) == "yywwv"
    assert groups(photos, near_duplicate_bits=4) == "wwwwv"


def test_mirror_images_are_grouped_where_they_keep_their_class():
    photos = looks([5, 5, MIRRORED, FAR])
    assert groups(photos, near_duplicate_bits=0) == "xxxw"
    assert groups(photos, near_duplicate_bits=0, mirror_keeps_class=False) == "yyxw"
    assert groups(looks([MIRRORED, 5]), near_duplicate_bits=0) == "yy"


def test_looks_may_be_off_and_are_nothing_in_flat_photos():
    assert groups(looks([5, 5, 5]), near_duplicate_bits="off") == "zyx"
    assert groups(looks([0, 0, 0])) == "zyx"


def test_photos_of_one_source_are_one_group_and_chain_those_that_look_alike():
    photos = looks([1, FAR, 2**40 - 1, 2**40 - 1, 2**20 - 1])
    photos["source"] = ["oak 1", "oak 1", "", "oak 1", ""]
    assert groups(photos, near_duplicate_bits=2) == "wwwwv"
    assert groups(photos, near_duplicate_bits="off") == "wwxwv"
    assert groups(photos, "looks", near_duplicate_bits=2) == "zywwv"


def test_looks_never_chain_across_classes():
    copy = groups(looks([5, 5, FAR], "aba"))
    assert copy == "yyx"  # one photo under two labels stays together
    assert groups(looks([5, 7, 5], "aab")) == "yyx"
    assert groups(looks([5, 7, 5, 7], "aabb")) == "yyww"
    assert groups(looks([5, 7, 5, 7], "aabb"), "looks") == "wwww"  # all for review


def test_where_many_photos_look_like_another_class_none_is_doubtful():
    pairs = [1 << n for n in range(0, 60, 5)] * 2
    photos = looks(pairs, "a" * 12 + "b" * 12)
    found = group_near_duplicates(photos, settings(near_duplicate_bits=0))
    assert found["across"].all()
    assert found["looks"].nunique() == 24
    assert found["group"].nunique() == 12
    few = looks([*pairs[:10], *pairs[12:22]], "a" * 10 + "b" * 10)
    assert len(set(groups(few, "looks", near_duplicate_bits=0))) == 10


def test_colors_count_across_classes_and_in_nearly_flat_photos():
    colors = [GREEN, RED, GRAY]
    assert groups(looks([5, 5], "aa", colors)) == "yy"  # a recolored copy
    assert groups(looks([5, 5], "aa", colors, flat=True)) == "zy"
    assert groups(looks([5, 5], "ab", colors), "looks") == "zy"
    assert groups(looks([5, 5], "ab", [GREEN, GRAY])) == "yy"  # a gray copy
    assert groups(looks([5, 5], "ab", [GREEN, (55, 100, 30)])) == "yy"


def test_rejected_photos_have_no_group_and_link_none():
    photos = looks([0b001, 0b010, 0b110]).set_index(pd.Index([3, 4, 5]))
    photos.loc[4, ["reason", "content_key"]] = ["empty", ""]
    photos["sums"] = [(1, 1, 1), (0, 0, 0), (1, 1, 1)]
    found = group_near_duplicates(photos, settings(near_duplicate_bits=2))
    assert found["group"].to_dict() == {3: "z", 4: "", 5: "x"}


def test_review_list_puts_doubtful_labels_first():
    photos = pd.DataFrame(
        {
            "number": range(6),
            "path": ["a/1", "a/2", "a/3", "b/3", "b/4", "b/5"],
            "class": ["a", "a", "a", "b", "b", "b"],
            "content_key": ["k1", "k2", "k3", "k3", "k4", ""],
            "looks": ["k1", "k1", "", "", "k4", ""],
            "split": ["train", "train", "", "", "test", ""],
            "reason": ["", "", "conflicting_label", "conflicting_label", "", "empty"],
        }
    )
    found = list_alike(photos)
    assert found["path"].tolist() == ["a/3", "b/3", "a/1", "a/2"]
    assert found["number"].tolist() == [2, 3, 0, 1]
    assert found["classes"].tolist() == [2, 2, 1, 1]


def test_review_list_shortens_keys_and_orders_by_them():
    keys = [letter * 64 for letter in "dcba"]
    photos = pd.DataFrame(
        {
            "number": range(8),
            "path": [f"a/{n}" for n in range(8)],
            "class": "a",
            "content_key": [key for key in keys for _ in range(2)],
            "looks": ["", "", keys[1], keys[1], keys[2], keys[2], "", ""],
            "split": "train",
            "reason": "",
        }
    )
    found = list_alike(photos)
    assert found["group"].tolist() == [letter * 16 for letter in "aabbccdd"]
    assert found["path"].tolist() == [f"a/{n}" for n in (6, 7, 4, 5, 2, 3, 0, 1)]


def test_review_list_joins_a_rejected_copy_to_the_kept_one():
    photos = pd.DataFrame(
        {
            "number": [0, 1],
            "path": ["a/1", "a/2"],
            "class": ["a", "a"],
            "content_key": ["k", "k"],
            "looks": ["k0", ""],
            "split": ["train", ""],
            "reason": ["", "duplicate"],
        }
    )
    assert list_alike(photos)["group"].tolist() == ["k0", "k0"]


def test_recompressed_copies_are_near():
    for seed in range(8):
        image = photo(seed, 320, 240)
        again = Image.open(io.BytesIO(encoded(image, quality=20)))
        assert distance(image, again) <= 4
