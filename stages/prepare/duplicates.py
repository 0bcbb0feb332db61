"""Photos that are the same, and photos that look the same.

Same pixels in one class: the first by path is kept. Same pixels in two classes: nobody can know
which label is right, so all are left out. Photos that only look alike are all kept, as one group
that the split does not separate.
"""

import numpy as np
import numpy.typing as npt
import pandas as pd

from stages.prepare.near import near_pairs


def mark_same_pixels(photos: pd.DataFrame) -> pd.DataFrame:
    """Give a reason to be left out to photos whose pixels another photo has too.

    Parameters
    ----------
    photos : DataFrame
        With ``path, class, pixels_sha256, reason, detail``, by path.

    Returns
    -------
    DataFrame
        The same with ``reason`` and ``detail`` filled in, and ``content_key``: the smallest sha256
        of the files that have the photo's pixels.
    """
    photos = photos.copy()
    usable = photos[photos["reason"] == ""]
    same = usable.groupby("pixels_sha256")
    photos["content_key"] = same["sha256"].transform("min").reindex(photos.index, fill_value="")
    first = same["path"].transform("first")
    conflicting = same["class"].transform("nunique") > 1
    repeated = usable.duplicated("pixels_sha256") & ~conflicting
    _leave_out(photos, repeated, "duplicate", "same pixels as " + first)
    others = "same pixels as photos of " + same["class"].transform(_joined)
    _leave_out(photos, conflicting, "conflicting_label", others)
    return photos


def _joined(classes: "pd.Series[str]") -> str:
    return ", ".join(sorted(set(classes)))


def _leave_out(
    photos: pd.DataFrame, chosen: "pd.Series[bool]", reason: str, detail: "pd.Series[str]"
) -> None:
    rows = chosen.index[chosen]
    photos.loc[rows, "reason"] = reason
    photos.loc[rows, "detail"] = detail[rows]


def group_near(photos: pd.DataFrame, bits: int) -> npt.NDArray[np.object_]:
    """Return each photo's group: the smallest content key among the photos chained to it.

    Parameters
    ----------
    photos : DataFrame
        With ``fingerprint, content_key``.
    bits : int
        Fingerprints that differ in at most so many bits are linked.
    """
    fingerprints, position = np.unique(
        photos["fingerprint"].to_numpy(np.uint64), return_inverse=True
    )
    chained = chain(len(fingerprints), near_pairs(fingerprints, bits))
    return photos.groupby(chained[position])["content_key"].transform("min").to_numpy(object)


def chain(count: int, pairs: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Find the sets that pairs chain together.

    Parameters
    ----------
    count : int
        Of things.
    pairs : int64 array of shape (P, 2)

    Returns
    -------
    int64 array of shape (count,)
        For each thing the smallest one of its set.
    """
    parent = list(range(count))

    def root(thing: int) -> int:
        while parent[thing] != thing:
            parent[thing] = parent[parent[thing]]
            thing = parent[thing]
        return thing

    for left, right in pairs.tolist():
        low, high = sorted((root(left), root(right)))
        parent[high] = low
    return np.array([root(thing) for thing in range(count)], np.int64)
