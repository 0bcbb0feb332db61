"""Make one offline HTML page to review labels on, from what the stages and tools have found.

It shows photos with a doubtful label (metrics/crossval/suspects.csv), mistakes and unsure photos
among the test photos (metrics/predictions.csv), photos that look alike in several classes
(data/prepared/alike.csv), and those of further tables. Its decisions.csv is for tools.relabel. Run
it with ``python -m tools.review``.
"""

import argparse
import base64
import hashlib
import io
import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from PIL import Image

from stages.common.errors import PhotoError, UserError, run_stage
from stages.common.files import write_bytes
from stages.common.names import printable_name
from stages.common.params import load_params
from stages.common.reading import read_bytes, read_photo_file
from stages.common.schema import Params
from stages.common.store import STORE, Store, open_store
from stages.evaluate.explain import activation_maps, spotlight
from stages.evaluate.markdown import plural
from stages.evaluate.predicting import DECIMALS, check_fit
from stages.model.classifier import Classifier
from stages.model.device import choose_device, set_up_torch
from stages.model.folder import MODELS, load_classifier
from stages.photos.photo import decode_photo
from stages.prepare.entries import Entry
from stages.prepare.listing import list_photos
from stages.prepare.sources import open_source, read_entry
from tools.options import named
from tools.predict.photos import LIMITS
from tools.relabel import locate

SUSPECTS = Path("metrics/crossval/suspects.csv")
PREDICTIONS = Path("metrics/predictions.csv")
ALIKE = STORE / "alike.csv"
TEMPLATE = Path(__file__).with_name("page.html")
DOUBT = ["path", "label", "better_label", "label_probability", "better_probability"]
MOST = 200
"""Photos of a section."""

Pixels = npt.NDArray[np.uint8]
Card = dict[str, Any]
"""What the page knows of a photo."""


def main() -> None:
    """Find the doubts, look at the photos through the network, write the page."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.review", description="Make an HTML page to review labels on."
    )
    parser.add_argument("--table", type=named, action="append", default=[], metavar="FILE")
    parser.add_argument("--output", type=named, default="review.html", metavar="FILE")
    options = parser.parse_args()
    params, store = load_params(), open_store()
    photos, classifier = Photos(store, params), load_if_fits(store)
    sections, seen = [], set[tuple[str, str]]()
    shown: list[Card] = []
    for title, table in find_doubts(options.table, photos.source, classifier):
        cards, lost, more = photos.make_cards(table, seen)
        sections.append({"title": title, "cards": cards, "more": more})
        counts = {"not found with that label": lost, "more": more}
        others = [f", {count:,} {what}" for what, count in counts.items() if count]
        print(f"{title}: {plural(len(cards), 'photo')}{''.join(others)}")
        shown += cards
    draw(shown, store, classifier)
    content = {"store": store.meta.sha256, "classes": store.meta.classes, "sections": sections}
    write_bytes(options.output, fill_template(content))
    print(f"open {options.output} in a browser, then: python -m tools.relabel decisions.csv")


def load_if_fits(store: Store) -> Classifier | None:
    """Load the model if it is one of this store."""
    set_up_torch(torch.get_num_threads())
    try:
        classifier = load_classifier(MODELS, choose_device("auto", "device"))
        check_fit(store, classifier)
    except UserError as error:
        print(f"without what the network says: {printable_name(str(error))}")
        return None
    return classifier


def find_doubts(
    tables: list[Path], photos: Path, classifier: Classifier | None
) -> Iterator[tuple[str, pd.DataFrame]]:
    """Give the sections' titles and photos, those to look at first before the others.

    The tables have the columns of DOUBT; a text may be empty, and a probability NaN.
    """
    if SUSPECTS.exists():
        yield "Doubtful labels", read_table(SUSPECTS, DOUBT)
    if PREDICTIONS.exists():
        tested = read_table(PREDICTIONS, ["path", "actual", "predicted", "confidence"])
        tested.columns = pd.Index(["path", "label", "better_label", "better_probability"])
        tested = tested.sort_values("better_probability", ascending=False)
        yield "Mistakes", tested[tested["label"] != tested["better_label"]]
        if classifier:
            unsure = tested["better_probability"] < classifier.calibration.threshold
            yield "Unsure photos", tested[unsure][::-1]
    alike = read_table(ALIKE, ["group", "path", "class"]).rename(columns={"class": "label"})
    names = alike.groupby("group")["label"].agg(lambda labels: sorted(set(labels)))
    others = [
        [name for name in names[group] if name != label]
        for group, label in zip(alike["group"], alike["label"], strict=True)
    ]
    alike["better_label"] = [names[0] if len(names) == 1 else "" for names in others]
    alike["note"] = ["alike: " + group[:6] for group in alike["group"]]
    yield "Alike across classes", alike[[bool(names) for names in others]]
    for path in tables:
        table = read_table(path, DOUBT)
        for new in table["path"][table["label"] == ""]:
            if locate(new, photos).startswith("../"):
                raise UserError(
                    f"{path}: {new} is not below {photos}, where it could get a label; move the "
                    "photos there, and predict again"
                )
        yield f"Doubts of {printable_name(path.name)}", table


def read_table(path: Path, columns: list[str]) -> pd.DataFrame:
    """Read some columns of a CSV file; text stays text."""
    try:
        table = pd.read_csv(io.BytesIO(read_bytes(path)), dtype=str, keep_default_na=False)
        table = table[columns]
        for name in columns:
            if name.endswith(("probability", "confidence")):
                table[name] = pd.to_numeric(table[name])
                if not table[name].dropna().between(0, 1).all():
                    raise ValueError(f"{name} must be from 0 to 1")
    except (OSError, ValueError, KeyError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(
            f"{path}: must be a table with the columns {','.join(columns)}: {reason:.200}"
        ) from error
    return table


class Photos:
    """Finds a photo in the store or, as those that prepare rejected, in its file."""

    def __init__(self, store: Store, params: Params) -> None:
        self.store, self.keep_splits = store, params.prepare.given_splits == "keep"
        self.source = params.data.source
        pairs = zip(store.manifest["path"], store.manifest["class"], strict=True)
        self.rows = {pair: row for row, pair in enumerate(pairs)}

    @cached_property
    def files(self) -> dict[tuple[str, str], Entry]:
        """The files of the source by path and class; none if the source is not here."""
        try:
            found = list_photos(self.source, LIMITS.max_bytes, self.keep_splits).candidates
        except UserError:
            return {}
        return {(one.path, one.class_name): one.entry for one in found}

    def find(self, path: str, label: str) -> tuple[Pixels, str] | None:
        """Return a photo's pixels and sha256, None if there is no such photo with that label."""
        if (path, label) in self.rows:
            row = self.rows[path, label]
            return self.store.images[row], self.store.manifest["sha256"][row]
        try:
            if not label:
                content = read_photo_file(Path(path), LIMITS.max_bytes, is_listed=False)
            elif (path, label) in self.files:
                entry = self.files[path, label]
                content = read_entry(open_source(self.source), entry, LIMITS.max_bytes)
            else:
                return None
            meta = self.store.meta
            pixels = decode_photo(content, meta.image_size_px, meta.fit, LIMITS).pixels
        except (PhotoError, UserError, ValueError):  # NUL in a path is a ValueError
            return None
        return pixels, hashlib.sha256(content).hexdigest()

    def make_cards(
        self, table: pd.DataFrame, seen: set[tuple[str, str]]
    ) -> tuple[list[Card], int, int]:
        """Return the cards of a section, and how many photos are not found, and over MOST.

        Photos in `seen` are left out, and all others are added to it.
        """
        cards, lost, more = list[Card](), 0, 0
        for row in table.to_dict("records"):
            pair = row["path"], row["label"]
            if pair in seen:
                continue
            seen.add(pair)
            if len(cards) == MOST:
                more += 1
            elif found := self.find(*pair):
                pixels, sha256 = found
                said = {str(name): value for name, value in row.items() if not pd.isna(value)}
                cards.append({**said, "sha256": sha256[:12], "pixels": pixels})
            else:
                lost += 1
        return cards, lost, more


def draw(cards: list[Card], store: Store, classifier: Classifier | None) -> None:
    """Replace pixels by pictures; add where the network found the better label, and how surely.

    Probabilities that a table of doubts has are kept.
    """
    pixels, classes = [card.pop("pixels") for card in cards], store.meta.classes
    for card, photo in zip(cards, pixels, strict=True):
        card["photo"] = encode(photo)
    known = [i for i, card in enumerate(cards) if card["better_label"] in classes]
    if classifier and known:
        images = np.stack([pixels[i] for i in known])
        better = np.array([classes.index(cards[i]["better_label"]) for i in known])
        maps = activation_maps(classifier, images, better)
        for i, image, activation, row in zip(
            known, images, maps, classifier.probabilities(images), strict=True
        ):
            says = dict(zip(classes, row.round(DECIMALS).tolist(), strict=True))
            cards[i]["looked"] = encode(spotlight(image, activation))
            cards[i].setdefault("label_probability", says.get(cards[i]["label"]))
            cards[i].setdefault("better_probability", says[cards[i]["better_label"]])


def encode(pixels: Pixels) -> str:
    """Return a picture as a data: address."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()


def fill_template(content: dict[str, Any]) -> bytes:
    """Return the page; nothing in `content` can act as HTML or script."""
    page = TEMPLATE.read_text(encoding="utf-8")
    for kind in ("script", "style"):
        code = page.partition(f"<{kind}>")[2].partition(f"</{kind}>")[0]
        digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
        page = page.replace(f"{kind.upper()}-DIGEST", f"sha256-{digest}")
    return page.replace("DATA", json.dumps(content).replace("<", "\\u003c")).encode()


if __name__ == "__main__":
    run_stage(main)
