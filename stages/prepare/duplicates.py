"""Photos that are the same, and photos that look the same.

Same pixels in one class: the first by path is kept. Same pixels in two classes: nobody can know
which label is right, so all are rejected. Photos that only look alike are all kept, as one group
that the split does not separate.

Given splits may separate them: then the test split keeps its photos, and their copies in other
splits are rejected as leaks.
"""

from typing import Literal

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from stages.prepare.perceptual_hash import Pairs, mirrored, pairs_within

STRICTNESS = ("test", "validation", "train", "")
"""Splits in the order in which they keep photos that several have."""


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
    """Reject photos that look like one in a stricter given split.

    Parameters
    ----------
    photos : DataFrame
        With ``path, given, group, reason, detail``; the group is empty where a photo is rejected.
    """
    accepted = photos[photos["reason"] == ""]
    splits_of_group = accepted.groupby("group")["given"].transform("nunique")
    for _, alike in accepted[splits_of_group > 1].groupby("group"):
        kept = alike[alike["given"] == strictest(alike["given"])]
        detail = f"looks like {kept['path'].iloc[0]}"
        photos.loc[alike.index.difference(kept.index), ["reason", "detail"]] = ["leak", detail]
    return photos


def group_near_duplicates(
    photos: pd.DataFrame, bits: int | Literal["off"], mirror_keeps_class: bool = True
) -> pd.DataFrame:
    """Add each photo's group: the smallest content key among the photos chained to it.

    Photos are linked if they have one source, or if their perceptual hashes differ in at most
    `bits` bits, or, where a mirror image keeps its class, one's and that of the other's mirror
    image. Rejected photos have no group.

    Parameters
    ----------
    photos : DataFrame
        With ``perceptual_hash, content_key, reason, source``; source is empty for a photo of its
        own.
    bits : int or "off"
        0 to 16; "off" links no photos by their looks.
    mirror_keeps_class : bool
    """
    accepted = photos[photos["reason"] == ""]
    groups = _groups(accepted, bits, mirror_keeps_class)
    return photos.assign(group=groups.astype(object).reindex(photos.index, fill_value=""))


def _groups(
    photos: pd.DataFrame, bits: int | Literal["off"], mirror_keeps_class: bool
) -> "pd.Series[str]":
    hashes = photos["perceptual_hash"].to_numpy(np.uint64)
    pairs: list[Pairs] = []
    if bits == "off":
        position = np.arange(len(hashes))
    else:
        hashes, position = np.unique(hashes, return_inverse=True)
        pairs.append(pairs_within(hashes, hashes, bits))
        if mirror_keeps_class:
            pairs.append(pairs_within(hashes, mirrored(hashes), bits))
    # Sources are nodes too, after the hashes.
    sources, source = np.unique(photos["source"], return_inverse=True)
    named = (photos["source"] != "").to_numpy()
    pairs.append(np.stack([position, len(hashes) + source], axis=1)[named])
    left, right = np.concatenate(pairs).T
    shape = (len(hashes) + len(sources),) * 2
    links = coo_array((np.ones(len(left), bool), (left, right)), shape)
    _, chained = connected_components(links, directed=False)
    group = pd.Series(chained[position], photos.index)
    keys = photos["content_key"].sort_values()
    smallest = keys[~group[keys.index].duplicated()]
    return group.map(smallest.set_axis(group[smallest.index]))


def list_alike(photos: pd.DataFrame) -> pd.DataFrame:
    """List for review every photo that has the same pixels as another or looks like it.

    Parameters
    ----------
    photos : DataFrame
        With ``number, path, class, content_key, group, source, split, reason``; split is empty
        where a photo is rejected, and group where it is rejected by itself.

    Returns
    -------
    DataFrame
        ``group, classes, path, class, split, reason, number``: the groups with the most classes
        first, because they most likely hold a wrong label.
    """
    alike = photos[photos["content_key"] != ""].copy()
    looks = (alike["group"] != "") & (alike["source"] == "")  # a source says nothing of looks
    groups = alike[looks].drop_duplicates("content_key")
    of_key = groups.set_index("content_key")["group"]
    known = alike["content_key"].map(of_key).astype(object)
    alike["group"] = known.fillna(alike["content_key"]).str[:16]
    alike["classes"] = alike.groupby("group")["class"].transform("nunique")
    alike = alike[alike.duplicated("group", keep=False)]
    return alike.sort_values(["classes", "group", "path"], ascending=[False, True, True])[
        ["group", "classes", "path", "class", "split", "reason", "number"]
    ]
