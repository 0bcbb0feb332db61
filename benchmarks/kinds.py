"""Pictures of other kinds than flowers: what the pipeline says of them, and how accurate it is.

``python -m benchmarks.kinds [KIND ...]`` draws each kind into a temporary folder, prepares it as
params.yaml says, trains a small network, then does so again with the parameters that suit the kind.
docs/measurements.md has the table.
"""

import argparse
import contextlib
import io
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from benchmarks.recipes import train
from stages.common.errors import UserError, run_stage
from stages.common.params import load_params
from stages.common.schema import Params
from stages.common.store import SPLITS, open_store
from stages.evaluate.metrics import describe_coin_tosses
from stages.evaluate.predicting import predict
from stages.model.device import set_up_torch
from stages.prepare.stage import prepare_store
from tests.photos.profiles import P3, profile

SIDE = 64
SMALL: dict[str, dict[str, Any]] = {
    "prepare": {"image_size_px": 48, "test_fraction": 0.2},
    "model": {"width": 16},
    "train": {"epochs": 25, "first_image_size_px": 48, "min_crop_area": 0.8, "color_jitter": 0.1},
}

Random = np.random.Generator


def flower(random: Random, petals: int, look: Random, side: int = SIDE) -> Image.Image:
    """Draw one plant, whose colors `look` decides, as `random` turns and shifts it."""
    ground, petal = (tuple(look.integers(low, low + 120, 3)) for low in (0, 130))
    size, turn = look.uniform(0.25, 0.4) * side, random.uniform(0, 2 * np.pi)
    x, y = random.uniform(0.4, 0.6, 2) * side
    image = Image.new("RGB", (side, side), ground)
    pen = ImageDraw.Draw(image)
    for angle in turn + np.arange(petals) * 2 * np.pi / petals:
        end = x + size * np.cos(angle), y + size * np.sin(angle)
        pen.line([(x, y), end], petal, width=round(side / 10))
    pen.circle((x, y), side / 12, "gold")
    return image


def save(folder: Path, label: str, number: int, image: Image.Image, kind: str, **how: Any) -> None:
    """Write a picture into its class folder."""
    (folder / label).mkdir(parents=True, exist_ok=True)
    image.save(folder / label / f"{number:03}.{kind}", **how)


def plants(folder: Path, random: Random, table: bool = True) -> None:
    """Draw five photos of each of 60 plants; a species shows in the petals' number, hard to see."""
    rows = ["path,label,group"]
    for plant in range(60):
        label = ("five", "six")[plant % 2]
        for photo in range(5):
            look = np.random.default_rng(plant)
            number = 5 * plant + photo
            save(folder, label, number, flower(random, 5 + plant % 2, look), "jpg", quality=90)
            rows.append(f"{label}/{number:03}.jpg,{label},plant {plant}")
    if table:
        (folder / "labels.csv").write_text("\n".join(rows))


def plants_without_a_table(folder: Path, random: Random) -> None:
    """Draw the same without groups."""
    plants(folder, random, table=False)


def bursts(folder: Path, random: Random) -> None:
    """Draw five frames of each plant within a second, each a pixel further."""
    for plant in range(60):
        petals, look = 5 + plant % 2, np.random.default_rng(plant)
        image = flower(random, petals, look, SIDE + 4)
        for frame in range(5):
            moved = image.crop((frame, 0, frame + SIDE, SIDE))
            save(folder, f"{petals}", 5 * plant + frame, moved, "jpg", quality=90)


def arrows(folder: Path, random: Random) -> None:
    """Draw arrows that point left or right."""
    for number in range(200):
        dark, light = (tuple(random.integers(low, low + 100, 3).tolist()) for low in (0, 150))
        image = Image.new("RGB", (SIDE, SIDE), dark)
        y, head, width = random.integers((20, 8, 3), (44, 14, 7)).tolist()
        pen = ImageDraw.Draw(image)
        pen.line((10, y, 54, y), light, width)
        pen.polygon([(54, y), (54 - head, y - head), (54 - head, y + head)], light)
        right = number % 2
        arrow = image if right else image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        save(folder, ("left", "right")[right], number, arrow, "png")


def products(folder: Path, random: Random) -> None:
    """Draw a bottle on white, always the same; the class is the sign on its small label."""
    for number in range(160):
        sign = "ABCD"[number % 4]
        image = Image.new("RGB", (SIDE, SIDE), "white")
        pen = ImageDraw.Draw(image)
        pen.rectangle((20, 16, 44, 62), tuple(60 + random.integers(0, 9, 3)))
        pen.rectangle((28, 4, 36, 16), (90, 70, 60))
        pen.rectangle((23, 30, 41, 50), "ivory")
        pen.text((28 + random.uniform(-2, 2), 34), sign, "black", ImageFont.load_default(12))
        save(folder, sign, number, image, "jpg", quality=92)


def swatches(folder: Path, random: Random) -> None:
    """Draw cloth of one color, lit from one side; the class is the hue."""
    light = np.linspace(1, 0.85, SIDE)[None, :, None]
    for number in range(150):
        label = ("brick", "moss", "slate")[number % 3]
        base = {"brick": (170, 80, 60), "moss": (90, 120, 60), "slate": (80, 95, 120)}[label]
        color = np.array(base) + random.normal(0, 12, 3)
        values = color * light + random.normal(0, 3, (SIDE, SIDE, 1))
        save(folder, label, number, Image.fromarray(values.clip(0, 255).astype(np.uint8)), "png")


def digits(folder: Path, random: Random) -> None:
    """Draw white digits on black, 28 px."""
    for number in range(300):
        digit = str(number % 10)
        image = Image.new("L", (28, 28))
        place = tuple(random.integers((6, 0), (11, 5)).tolist())
        font = ImageFont.load_default(int(random.integers(18, 25)))
        ImageDraw.Draw(image).text(place, digit, 255, font)
        save(folder, digit, number, image.rotate(random.uniform(-15, 15)), "png")


def grays_of_12_bits(folder: Path, random: Random) -> None:
    """Draw rings or stripes, as 12 bits of a 16-bit PNG."""
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    for number in range(160):
        rings = number % 2
        a, b = random.uniform(0.3, 0.7, 2)
        phase = np.hypot(x - a, y - b) if rings else x * a + y * b
        values = 2000 + 1500 * np.sin(random.uniform(30, 60) * phase)
        noisy = (values + random.normal(0, 300, values.shape)).clip(0, 4095)
        image = Image.fromarray(noisy.astype(np.uint16))
        save(folder, ("stripes", "rings")[rings], number, image, "png")


def tall_scans(folder: Path, random: Random) -> None:
    """Draw strips of 60 x 300; the class is a mark at the upper end."""
    for number in range(160):
        noise = random.normal(200, 20, (300, 60, 3)).clip(0, 255).astype(np.uint8)
        image = Image.fromarray(noise)
        x, y, round_mark = *random.integers(8, 28, 2), number % 2
        draw = ImageDraw.Draw(image)
        (draw.ellipse if round_mark else draw.rectangle)((x, y, x + 24, y + 24), "navy")
        save(folder, ("square", "round")[round_mark], number, image, "png")


def defects(folder: Path, random: Random) -> None:
    """Draw 200 metal plates, and 5 with a scratch."""
    for number in range(205):
        values = random.normal(140, 15, (SIDE, SIDE)).clip(0, 255).astype(np.uint8)
        image = Image.fromarray(values).convert("RGB")
        if bad := number >= 200:
            ImageDraw.Draw(image).line([*random.integers(0, SIDE, 4)], "white", 3)
        save(folder, "scratched" if bad else "good", number, image, "jpg", quality=90)


def phone_photos(folder: Path, random: Random) -> None:
    """Draw red or orange flowers as phones save them: lying in the file, in Display P3."""
    exif, icc = Image.Exif(), profile(P3)
    exif[0x0112] = 6
    for number in range(160):
        image = flower(random, 6, random, SIDE).resize((SIDE, 3 * SIDE // 2))
        red = number % 2
        tint = (1, 0.55, 0.55) if red else (1, 0.75, 0.45)
        values = (np.asarray(image) * np.array(tint)).astype(np.uint8)
        lying = Image.fromarray(values).transpose(Image.Transpose.ROTATE_90)
        how = {"quality": 90, "exif": exif, "icc_profile": icc}
        save(folder, ("orange", "red")[red], number, lying, "jpg", **how)


OFF = {"near_duplicate_bits": "off"}
KINDS: dict[Callable[[Path, Random], None], dict[str, dict[str, Any]]] = {
    plants_without_a_table: {"prepare": OFF},
    plants: {"prepare": OFF},
    bursts: {},
    arrows: {"prepare": {"mirror_keeps_class": False, **OFF}},
    products: {"prepare": OFF},
    swatches: {},
    digits: {"prepare": {"min_side_px": 28, "mirror_keeps_class": False, **OFF}},
    grays_of_12_bits: {},
    tall_scans: {"prepare": {"max_aspect_ratio": 5, "fit": "stretch", **OFF}},
    defects: {"train": {"class_balance": 0.5}},
    phone_photos: {},
}
"""What draws each kind, and the parameters that suit it."""


def changed(params: Params, change: dict[str, dict[str, Any]]) -> Params:
    """Return parameters with other values."""
    values = params.model_dump()
    for section, of_section in change.items():
        values[section].update(of_section)
    return Params.model_validate(values)


def try_out(photos: Path, params: Params) -> None:
    """Print what becomes of the photos, in lines that begin with what the pipeline says."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            notes = prepare_store(photos, params.prepare, Path(folder)).notes
        except UserError as error:
            print(f"  error: {str(error).replace(f'{photos}', 'photos')}")
            return
        store = open_store(Path(folder))
        with contextlib.redirect_stdout(io.StringIO()):
            classifier = train(params, store)
        probabilities = predict(classifier, store, "test")
        labels = store.labels[store.indices("test")]
        for line in [*notes, *describe_coin_tosses(labels, probabilities, store.meta)]:
            print(f"  {line}")
        sizes = ", ".join(f"{len(store.indices(split))} {split}" for split in SPLITS)
        accuracy = (probabilities.argmax(axis=1) == labels).mean()
        print(f"  accuracy {accuracy:.1%} ({sizes})", flush=True)


def main() -> None:
    """Try all kinds, or those that are named."""
    names = {draw.__name__: draw for draw in KINDS}
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kinds", description=__doc__)
    parser.add_argument("kinds", nargs="*", choices=[*names, []], metavar="KIND")
    chosen = parser.parse_args().kinds or list(names)
    params = changed(load_params(), SMALL)
    set_up_torch(params.train.threads)
    for name in chosen:
        with tempfile.TemporaryDirectory() as folder:
            photos = Path(folder) / "photos"
            names[name](photos, np.random.default_rng(0))
            print(f"{name}, as params.yaml is:")
            try_out(photos, params)
            if suits := KINDS[names[name]]:
                print(f"{name}, with {suits}:")
                try_out(photos, changed(params, suits))


if __name__ == "__main__":
    run_stage(main)
