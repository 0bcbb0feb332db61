"""A split that stays while data grow."""

import hashlib
import re
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest

from stages.common.errors import UserError
from stages.prepare.split import assign_splits, cut, fold_part, nearest
from tests.hazards import settings


def key(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def photos(count: int, classes: int = 5, first: int = 0) -> pd.DataFrame:
    """Return photos without near-duplicates, in turn of each class."""
    numbers = range(first, first + count)
    keys = [key(number) for number in numbers]
    names = [f"class {number % classes}" for number in numbers]
    columns = {"class": names, "content_key": keys, "group": keys}
    return pd.DataFrame(columns).assign(given="", source="")


def grouped(sizes: list[int]) -> pd.DataFrame:
    """Return photos of one class in groups of these sizes."""
    table = photos(sum(sizes), classes=1)
    numbers = np.repeat(np.arange(len(sizes)), sizes)
    return table.assign(group=table["content_key"].groupby(numbers).transform("min"))


def line(sizes: list[int]) -> pd.Series:
    return pd.Series(sizes, [str(number) for number in range(len(sizes))])


def split(table: pd.DataFrame, seed: int = 0, **changes) -> pd.Series:
    return assign_splits(table, settings(seed=seed, **changes)).set_axis(table["content_key"])


@pytest.mark.parametrize("count", [3, 4, 14, 15, 16, 100, 593])
def test_quotas_are_exact_and_rounded_halves_up(count):
    found = split(photos(count, classes=1)).value_counts()
    expected = max(1, int(count / 10 + 0.5))
    assert (found["test"], found["validation"]) == (expected, expected)
    assert found.sum() == count


@pytest.mark.parametrize("groups", [50, 100, 180, 375])
def test_quotas_are_those_of_the_decimal_number_that_is_written(groups):
    for thousandths in range(1, 900):
        exact = (thousandths * groups * 2 + 1000) // 2000  # rounded, halves up
        share = settings(test_fraction=float(f"0.{thousandths:03}"), validation_fraction=0.05)
        found = cut(line([1] * groups), {"test": share.test_fraction}, share)
        assert list(found.values()).count("test") == max(1, exact)


def test_something_is_left_to_train_on():
    found = split(photos(3, classes=1), test_fraction=0.5, validation_fraction=0.4)
    assert found.value_counts().to_dict() == {"test": 1, "validation": 1, "train": 1}


def test_a_later_split_leaves_one_to_train_on_too():
    found = split(photos(4, classes=1), test_fraction=0.5, validation_fraction=0.49)
    assert found.value_counts().to_dict() == {"test": 2, "validation": 1, "train": 1}


def test_given_splits_stay_and_the_missing_one_is_taken_from_train():
    table = photos(40, classes=1)
    table.loc[:9, "given"] = "test"
    table.loc[10:29, "given"] = "train"
    found = split(table, validation_fraction=0.2)
    assert (found.iloc[:10] == "test").all()
    assert found.iloc[10:].value_counts().to_dict() == {"train": 24, "validation": 6}


@pytest.mark.parametrize("seed", range(40))
def test_a_tenth_more_photos_moves_few_and_none_from_test_to_train(seed):
    old = photos(3000)
    before = split(old, seed)
    after = split(pd.concat([old, photos(300, first=3000)]), seed).loc[before.index]
    assert (before != after).mean() <= 0.02
    moves = set(zip(before[before != after], after[before != after], strict=True))
    assert ("test", "train") not in moves
    assert ("train", "test") not in moves


def test_removing_photos_is_as_gentle_as_adding_them():
    old = photos(3300)
    after = split(old.iloc[:3000])
    before = split(old).loc[after.index]
    assert (before != after).mean() <= 0.02


def test_order_of_the_photos_changes_nothing():
    table = photos(200)
    shuffled = table.sample(frac=1, random_state=1)
    pd.testing.assert_series_equal(split(table).sort_index(), split(shuffled).sort_index())


def test_another_seed_draws_another_split():
    assert (split(photos(200), 0) != split(photos(200), 1)).any()


def test_groups_stay_whole_across_classes():
    table = photos(300)
    table["group"] = table["content_key"].groupby(np.arange(300) // 3).transform("min")
    assert (split(table).groupby(table["group"].to_numpy()).nunique() == 1).all()


def test_fractions_are_of_photos_not_of_groups():
    table = grouped([5] * 40)
    found = split(table)
    assert found.value_counts().to_dict() == {"train": 160, "test": 20, "validation": 20}
    assert (found.groupby(table["group"].to_numpy()).nunique() == 1).all()


@pytest.mark.parametrize("seed", range(8))
def test_a_large_group_is_trained_on(seed):
    found = split(grouped([77, *[1] * 43]), seed)
    assert found.value_counts().to_dict() == {"train": 96, "test": 12, "validation": 12}


@pytest.mark.parametrize(
    ("sizes", "photos", "groups"),
    [([1, 1, 1], 1.5, 2), ([4, 4], 1, 0), ([4, 4], 2, 1), ([4, 4], 99, 2), ([3, 5], 6, 2)],
)
def test_nearest_number_of_photos(sizes, photos, groups):
    assert nearest(line(sizes), Fraction(photos)) == groups


def test_classes_with_too_few_distinct_photos_are_named():
    few = [photos(n, classes=1, first=90 + n).assign(**{"class": "x" * n}) for n in (1, 2)]
    with pytest.raises(UserError) as error:
        split(pd.concat([photos(20), *few]))
    assert str(error.value) == (
        "every class needs at least 3 groups of photos, for train, test, validation; 'x' has 1; "
        "'xx' has 2; add photos or leave the class out"
    )


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("", "look alike (prepare.near_duplicate_bits)"),
        ("oak", "have one `group` in labels.csv"),
        (
            ["oak", "elm", *["fir"] * 29],
            "have one `group` in labels.csv, or look alike (prepare.near_duplicate_bits)",
        ),
    ],
)
def test_why_there_are_too_few_groups_is_said(source, why):
    with pytest.raises(UserError, match=re.escape(f"'class 0' has 2: 30 of its 31 photos {why};")):
        split(grouped([30, 1]).assign(source=source))


def folds(table: pd.DataFrame, count: int, fraction: float) -> list[pd.Series]:
    return [
        split(table, fold=fold, test_fraction=fraction, validation_fraction=0.1)
        for fold in range(count)
    ]


@pytest.mark.parametrize(("count", "fraction"), [(10, 0.1), (5, 0.2), (3, 0.3333), (7, 0.1429)])
@pytest.mark.parametrize("photos_per_class", [10, 59, 60, 61])
def test_every_photo_is_tested_in_one_fold(count, fraction, photos_per_class):
    found = folds(photos(5 * photos_per_class), count, fraction)
    tests = pd.concat([each == "test" for each in found], axis=1).sum(axis=1)
    assert (tests == 1).all()
    assert all((each == "validation").any() and (each == "train").any() for each in found)


def test_fold_0_is_the_split_without_folds():
    table = photos(333)
    pd.testing.assert_series_equal(folds(table, 5, 0.2)[0], split(table, test_fraction=0.2))


def test_groups_stay_whole_in_every_fold():
    table = photos(300)
    table["group"] = table["content_key"].groupby(np.arange(300) // 3).transform("min")
    for found in folds(table, 5, 0.2):
        assert (found.groupby(table["group"].to_numpy()).nunique() == 1).all()


@pytest.mark.parametrize("fold", [1, 2, 4])
def test_a_fold_stays_when_data_grow(fold):
    old = photos(3000)
    new = pd.concat([old, photos(300, first=3000)])
    before, after = (folds(table, 5, 0.2)[fold] for table in (old, new))
    assert np.mean(before.to_numpy() != after.loc[before.index].to_numpy()) <= 0.04


def test_a_class_smaller_than_the_folds_is_refused():
    table = pd.concat(
        [photos(20, classes=1), photos(9, classes=1, first=20).assign(**{"class": "x"})]
    )
    split(table)
    with pytest.raises(UserError, match=r"at least 10 groups .* for 10 folds; 'x' has 9;"):
        split(table, fold=3)


def test_a_given_test_split_has_no_other_fold():
    table = photos(50)
    table.loc[:10, "given"] = "test"
    with pytest.raises(UserError) as error:
        split(table, fold=1)
    assert str(error.value) == (
        "params.yaml: prepare.fold is 1, but the photos come with a test split of their own; "
        "set prepare.fold to 0, or prepare.given_splits to ignore"
    )


def test_the_last_fold_takes_what_rounding_leaves():
    """A third is written as 0.3333, of which three are short of one."""
    thirds = [settings(fold=fold, test_fraction=0.3333) for fold in range(3)]
    ones = [line([1] * photos) for photos in (6000, 9000)]
    assert [fold_part(ones[0], each) for each in thirds] == [(0, 2000), (2000, 4000), (4000, 6000)]
    assert fold_part(ones[1], thirds[2]) == (5999, 9000)


@pytest.mark.parametrize("count", [2, 3, 5, 10])
def test_folds_of_any_groups_test_each_photo_once(count):
    random = np.random.default_rng(count)
    for _ in range(20):
        sizes = random.zipf(1.5, random.integers(max(4, count), 3 * count)).clip(max=300).tolist()
        found = folds(grouped(sizes), count, round(1 / count, 4))
        tests = pd.concat([each == "test" for each in found], axis=1)
        assert (tests.sum(axis=1) == 1).all()
        assert all(set(each) == {"test", "validation", "train"} for each in found)


def test_no_fold_is_empty_beside_a_large_group():
    parts = [
        fold_part(line([5, 1, 1, 1, 1]), settings(fold=fold, test_fraction=0.2))
        for fold in range(5)
    ]
    assert parts == [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)]


def test_three_folds_need_three_photos():
    table = photos(3, classes=1)
    tests = pd.concat([each == "test" for each in folds(table, 3, 0.3333)], axis=1)
    assert (tests.sum(axis=1) == 1).all()


def test_half_of_three_photos_leaves_too_few_to_train_on():
    split(photos(4, classes=1), fold=1, test_fraction=0.5)
    with pytest.raises(UserError, match=r"at least 4 groups .* for 2 folds; 'class 0' has 3;"):
        split(photos(3, classes=1), fold=1, test_fraction=0.5)
