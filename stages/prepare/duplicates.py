"""Photos that are the same, and photos that look the same.

Same pixels in one class: the first by path is kept. Same pixels in two classes: nobody can know
which label is right, so all are rejected. Photos that only look alike are all kept, as one group
that the split does not separate.

Given splits may separate them: then the test split keeps its photos, and their copies in other
splits are rejected as leaks.
"""

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from stages.common.schema import Prepare
from stages.prepare.perceptual_hash import Pairs, mirrored, pairs_within

STRICTNESS = ("test", "validation", "train", "")
"""Splits in the order in which they keep photos that several have."""

COLOR_STEPS = 512
"""A photo's color is the share that red, green and blue have of its light, in so many steps."""
NEAR_COLOR, GRAY = 31, 5
"""Steps within which copies have their photo's color, and gray ones are gray."""
FLAT = 12
"""Standard deviation of the values, of 255, below which hardly anything but the color is seen."""

MANY, MANY_SHARE = 20, 0.1
"""Photos that look like one of another class: more of them are no wrong labels."""


def mark_same_pixels(photos: pd.DataFrame) -> pd.DataFrame:
    """Reject photos that have the same pixels as another.

    Parameters
    ----------
    photos : DataFrame
        With ``path, class, given, sha256, pixels_sha256, reason, detail``, by path.

    Returns
    -------
    DataFrame
        The same with ``reason`` and ``detail`` filled in, and ``content_key``: the smallest sha256
        of the files that have the photo's pixels, whatever their names.
    """
    photos = photos.assign(content_key=photos["sha256"])
    usable = photos[photos["reason"] == ""]
    twins = usable[usable.duplicated("pixels_sha256", keep=False)]
    for _, same in twins.groupby("pixels_sha256"):
        photos.loc[same.index, "content_key"] = same["sha256"].min()
        kept = same[same["given"] == strictest(same["given"])]
        leaked = same.index.difference(kept.index)
        detail = f"same pixels as {kept['path'].iloc[0]}"
        photos.loc[leaked, ["reason", "detail"]] = ["leak", detail]
        classes = sorted(set(kept["class"]))
        if len(classes) > 1:
            detail = f"same pixels under {', '.join(classes)}"
            photos.loc[kept.index, ["reason", "detail"]] = ["conflicting_label", detail]
        else:
            photos.loc[kept.index[1:], ["reason", "detail"]] = ["duplicate", detail]
    return photos


def strictest(splits: "pd.Series[str]") -> str:
    """Return the split that keeps what several splits share."""
    return min(splits, key=STRICTNESS.index)


def mark_leaks(photos: pd.DataFrame) -> pd.DataFrame:
    """Reject photos whose group is also in a stricter given split.

    Parameters
    ----------
    photos : DataFrame
        With ``path, given, group, looks, reason, detail``; the groups are empty where a photo is
        rejected.
    """
    accepted = photos[photos["reason"] == ""]
    splits_of_group = accepted.groupby("group")["given"].transform("nunique")
    for _, related in accepted[splits_of_group > 1].groupby("group"):
        kept = related[related["given"] == strictest(related["given"])]
        leaked = related.drop(kept.index)
        alike = leaked["looks"].map(kept.drop_duplicates("looks").set_index("looks")["path"])
        one_group = f"has the group of {kept['path'].iloc[0]} in labels.csv"
        photos.loc[leaked.index, "reason"] = "leak"
        photos.loc[leaked.index, "detail"] = ("looks like " + alike).fillna(one_group)
    return photos


def group_near_duplicates(photos: pd.DataFrame, prepare: Prepare) -> pd.DataFrame:
    """Add each photo's groups: the smallest content key among the photos chained to it.

    Two photos look alike if their perceptual hashes differ in at most ``near_duplicate_bits`` bits,
    or, if ``mirror_keeps_class``, one's and that of the other's mirror image. If they are of two
    classes or nearly flat, their colors must also be near, unless one is gray. Rejected photos have
    no group.

    Parameters
    ----------
    photos : DataFrame
        With ``class, perceptual_hash, sums, squares, content_key, reason, source``; source is empty
        for a photo of its own.
    prepare : Prepare

    Returns
    -------
    DataFrame
        With ``group``, which the split keeps together: what has one source, or looks alike in one
        class; and two photos of two classes that look like each other and like no third. With
        ``looks``, for people: what looks alike in any class, or in one if many photos look like
        those of another. And with ``across``: whether a photo looks like one of another class.
    """
    accepted = photos[photos["reason"] == ""]
    names, keys = accepted["class"].to_numpy(), accepted["content_key"]
    pairs = _look_alikes(accepted, prepare)
    within = names[pairs[:, 0]] == names[pairs[:, 1]]
    only = (np.bincount(pairs.ravel(), minlength=len(names))[pairs] == 1).all(axis=1)
    across = np.isin(np.arange(len(names)), pairs[~within])
    # Sources are nodes too, after the photos.
    sources, source = np.unique(accepted["source"], return_inverse=True)
    sourced = np.flatnonzero(accepted["source"] != "")
    of_source = np.stack([sourced, len(names) + source[sourced]], axis=1)
    found = {
        "group": _chain(np.concatenate([pairs[within | only], of_source]), keys, len(sources)),
        "looks": _chain(pairs[within] if are_many(across) else pairs, keys),
    }
    columns = {name: each.reindex(photos.index, fill_value="") for name, each in found.items()}
    across_all = pd.Series(across, accepted.index).reindex(photos.index, fill_value=False)
    return photos.assign(**columns, across=across_all)


def are_many(across: npt.NDArray[np.bool_]) -> bool:
    """Tell whether so many photos look like those of another class that it says nothing."""
    return bool(across.sum() > MANY and across.mean() > MANY_SHARE)


def _chain(links: Pairs, keys: "pd.Series[str]", others: int = 0) -> "pd.Series[str]":
    """Return the smallest key among the photos chained to each, by links to each other or others.

    The photos' nodes come first, in the order of their keys.
    """
    shape = (len(keys) + others,) * 2
    graph = coo_array((np.ones(len(links), bool), links.T), shape)
    _, chained = connected_components(graph, directed=False)
    group = pd.Series(chained[: len(keys)], keys.index)
    ordered = keys.sort_values()
    smallest = ordered[~group[ordered.index].duplicated()]
    return group.map(smallest.set_axis(group[smallest.index])).astype(object)


def _look_alikes(photos: pd.DataFrame, prepare: Prepare) -> Pairs:
    """Return the positions of pairs of photos that chain all that look alike.

    Wholly flat photos are in none: all have the same hash.
    """
    if prepare.near_duplicate_bits == "off" or photos.empty:
        return np.empty((0, 2), np.int64)
    color, is_gray, is_flat = _colors(photos, prepare.image_size_px)
    looks = pd.DataFrame(color).assign(
        hash=photos["perceptual_hash"].to_numpy(np.uint64), name=photos["class"].to_numpy()
    )
    looks = looks[looks["hash"] != 0]
    # Of those that are the same in all this, only the first is compared with others.
    first = looks.index.to_series().groupby(looks.groupby(list(looks)).ngroup()).transform("min")
    again = first[first != first.index]
    names = looks["name"]
    pairs = _near_hashes(looks["hash"].drop(again.index), prepare)
    one, other = pairs.T
    near_color = np.abs(color[one] - color[other]).max(axis=1) <= NEAR_COLOR
    detailed = (names[one].array == names[other].array) & ~(is_flat[one] | is_flat[other])
    alike = near_color | is_gray[one] | is_gray[other] | detailed
    return np.concatenate([pairs[alike], np.stack([first[again.index], again.index], axis=1)])


def _colors(
    photos: pd.DataFrame, image_size_px: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return each photo's color, a row of three, and whether it is gray, and nearly flat."""
    sums, squares = (np.array(photos[each].tolist(), np.int64) for each in ("sums", "squares"))
    color = COLOR_STEPS * sums // sums.sum(axis=1, keepdims=True).clip(1)
    is_gray = np.abs(3 * color - COLOR_STEPS).max(axis=1) <= 3 * GRAY
    pixels = image_size_px**2
    is_flat = (pixels * squares - sums**2).max(axis=1) < (pixels * FLAT) ** 2
    return color, is_gray, is_flat


def _near_hashes(hashes: "pd.Series[int]", prepare: Prepare) -> Pairs:
    """Return pairs of photos, by index, whose hashes are near, or one's and a mirrored one's."""
    bits = int(prepare.near_duplicate_bits)
    values, number = np.unique(hashes, return_inverse=True)
    near = [np.stack([np.arange(len(values))] * 2, axis=1), pairs_within(values, values, bits)]
    if prepare.mirror_keeps_class:
        near.append(pairs_within(values, mirrored(values), bits))
    found = pd.DataFrame(np.unique(np.concatenate(near), axis=0), columns=["left", "right"])
    for side in ("left", "right"):
        rows = pd.DataFrame({side: number, f"{side}_row": hashes.index})
        found = found.merge(rows, on=side)
    # A pair is found from either side, and a photo beside itself.
    repeated = (found["left"] >= found["right"]) & (found["left_row"] >= found["right_row"])
    return found.loc[~repeated, ["left_row", "right_row"]].to_numpy()


def list_alike(photos: pd.DataFrame) -> pd.DataFrame:
    """List for review every photo that has the same pixels as another or looks like it.

    Parameters
    ----------
    photos : DataFrame
        With ``number, path, class, content_key, looks, split, reason``; split is empty where a
        photo is rejected, and looks where it is rejected by itself.

    Returns
    -------
    DataFrame
        ``group, classes, path, class, split, reason, number``: the groups with the most classes
        first, because they most likely hold a wrong label.
    """
    alike = photos[photos["content_key"] != ""].copy()
    groups = alike[alike["looks"] != ""].drop_duplicates("content_key")
    of_key = groups.set_index("content_key")["looks"]
    known = alike["content_key"].map(of_key).astype(object)
    alike["group"] = known.fillna(alike["content_key"]).str[:16]
    alike["classes"] = alike.groupby("group")["class"].transform("nunique")
    alike = alike[alike.duplicated("group", keep=False)]
    return alike.sort_values(["classes", "group", "path"], ascending=[False, True, True])[
        ["group", "classes", "path", "class", "split", "reason", "number"]
    ]
