"""Photos to plant: clean ones, and one of every kind of dirt that real folders hold."""

import io
import os
import socket
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pillow_heif
from PIL import Image, PngImagePlugin

from stages.common.schema import Prepare

Plant = Callable[[Path], None]


def settings(**changes: Any) -> Prepare:
    """Return parameters for small photos that allow anything to be rejected."""
    values: dict[str, Any] = {
        "seed": 0,
        "image_size_px": 32,
        "validation_fraction": 0.1,
        "test_fraction": 0.1,
        "fold": 0,
        "min_side_px": 32,
        "max_megapixels": 0.25,
        "max_aspect_ratio": 4,
        "max_rejected_fraction": 1,
        "near_duplicate_bits": 8,
        "mirror_keeps_class": True,
        "fit": "crop",
        "given_splits": "keep",
    }
    return Prepare(**values | changes)


def photo(seed: int, width: int = 96, height: int = 72) -> Image.Image:
    """Draw soft colored blobs that no other seed draws."""
    blobs = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(blobs).resize((width, height), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def jpeg(seed: int, **options: Any) -> bytes:
    return encoded(photo(seed), "JPEG", quality=90, **options)


def plant_clean(root: Path, classes: tuple[str, ...] = ("daisy", "rose"), count: int = 10) -> None:
    """Fill class folders with photos that have nothing wrong."""
    for index, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for number in range(count):
            content = jpeg(1000 * (index + 1) + number)
            (root / name / f"{number:03d}.jpg").write_bytes(content)


def write(content: bytes) -> Plant:
    return lambda path: _ignore(path.write_bytes(content))


def link(target: str) -> Plant:
    return lambda path: path.symlink_to(target)


def _ignore(_: object) -> None:
    return None


def _bind_socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's address may have 108 characters only
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path.name)
    os.chdir(here)


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.write(jpeg(1))
        file.truncate(3_000_000)


def exif(orientation: int) -> bytes:
    data = Image.Exif()
    data[0x0112] = orientation
    return data.tobytes()


def png_header_of(width: int, height: int) -> bytes:
    """Return a small PNG that says it is huge."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    length, check = struct.pack(">I", 13), struct.pack(">I", zlib.crc32(chunk))
    return b"\x89PNG\r\n\x1a\n" + length + chunk + check + encoded(photo(1), "PNG")[33:]


def png_16_bit(gray: np.ndarray) -> bytes:
    """Return a 16-bit gray PNG of a uint16 array."""
    return encoded(Image.fromarray(gray), "PNG")


def gray_ramp(seed: int) -> np.ndarray:
    return np.asarray(photo(seed).convert("L")).astype(np.uint16) * 257


def with_alpha(seed: int) -> Image.Image:
    image = photo(seed).convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    return image


def flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :]


def _palette_with_hole(seed: int) -> bytes:
    return encoded(photo(seed).quantize(16), "PNG", transparency=0)


def _key_color(seed: int) -> bytes:
    return encoded(photo(seed), "PNG", transparency=(1, 2, 3))


def _text_in_png(seed: int) -> bytes:
    notes = PngImagePlugin.PngInfo()
    notes.add_text("comment", "a" * 5000, zip=True)
    return encoded(photo(seed), "PNG", pnginfo=notes)


def _frames(seed: int) -> bytes:
    others = [photo(seed + 1), photo(seed + 2)]
    return encoded(photo(seed), "GIF", save_all=True, append_images=others)


def _heic(seed: int) -> bytes:
    pillow_heif.register_heif_opener()
    return encoded(photo(seed), "HEIF")


def _two_pictures(seed: int) -> bytes:
    return encoded(photo(seed), "MPO", save_all=True, append_images=[photo(seed + 1)])


@dataclass(frozen=True)
class Hazard:
    """Something to plant, and what must become of it.

    Attributes
    ----------
    path : str
        Below the source.
    plant : callable
        Makes it.
    outcome : str
        ``accepted``, ``skipped`` or the reason to reject it.
    """

    path: str
    plant: Plant
    outcome: str = "accepted"


HAZARDS = [
    # accepted, whatever it looks like
    Hazard("daisy/really-a-jpeg.png", write(jpeg(1))),
    Hazard("daisy/no-extension", write(jpeg(2))),
    Hazard("daisy/progressive.jpg", write(jpeg(3, progressive=True))),
    Hazard("daisy/gray.jpg", write(encoded(photo(4).convert("L")))),
    Hazard("daisy/cmyk.jpg", write(encoded(photo(5).convert("CMYK")))),
    Hazard("daisy/turned.jpg", write(jpeg(6, exif=exif(6)))),
    Hazard("daisy/broken-exif.jpg", write(jpeg(7, exif=b"Exif\0\0MM\0*\0\0\0\xff\xff\xff"))),
    Hazard("daisy/trailing-bytes.jpg", write(jpeg(8) + b"appended by a camera" * 9)),
    Hazard("daisy/two-pictures.mpo", write(_two_pictures(9))),
    Hazard("daisy/palette.png", write(encoded(photo(11).quantize(64), "PNG"))),
    Hazard("daisy/palette-with-hole.png", write(_palette_with_hole(12))),
    Hazard("daisy/key-color.png", write(_key_color(13))),
    Hazard("daisy/alpha.png", write(encoded(with_alpha(14), "PNG"))),
    Hazard("daisy/gray-alpha.png", write(encoded(with_alpha(15).convert("LA"), "PNG"))),
    Hazard("daisy/one-bit.png", write(encoded(photo(16).convert("1"), "PNG"))),
    Hazard("daisy/16-bit.png", write(png_16_bit(gray_ramp(17)))),
    Hazard("daisy/packed-text.png", write(_text_in_png(18))),
    Hazard("daisy/lossy.webp", write(encoded(photo(19), "WEBP"))),
    Hazard("daisy/alpha.webp", write(encoded(with_alpha(20), "WEBP", lossless=True))),
    Hazard("daisy/new.avif", write(encoded(photo(47), "AVIF"))),
    Hazard("daisy/phone.heic", write(_heic(48))),
    Hazard("daisy/cut.heic", write(_heic(49)[:-300]), "damaged"),
    Hazard("daisy/plain.bmp", write(encoded(photo(21), "BMP"))),
    Hazard("daisy/lzw.tif", write(encoded(photo(22), "TIFF", compression="tiff_lzw"))),
    Hazard("daisy/moving.gif", write(_frames(23))),
    Hazard("daisy/sub/deeper/nested.jpg", write(jpeg(26))),
    Hazard("daisy/name with, comma and\nline.jpg", write(jpeg(27))),
    Hazard("daisy/blüte-花.jpg", write(jpeg(28))),
    Hazard("daisy/" + os.fsdecode(b"latin-\xfc.jpg"), write(jpeg(29))),
    Hazard("daisy/z-link-to-rose.jpg", link("../rose/only-linked.jpg"), "conflicting_label"),
    # cut, broken, or no photo
    Hazard("daisy/empty.jpg", write(b""), "empty"),
    Hazard("daisy/page.jpg", write(b"<html>404 Not Found</html>"), "not_an_image"),
    Hazard("daisy/drawing.eps", write(encoded(photo(30), "EPS")), "not_an_image"),
    Hazard("daisy/cut-header.jpg", write(jpeg(31)[:300]), "truncated"),
    Hazard("daisy/cut.jpg", write(jpeg(31)[:-200]), "truncated"),
    Hazard("daisy/cut-and-closed.jpg", write(jpeg(32)[:-400] + b"\xff\xd9"), "truncated"),
    Hazard("daisy/cut.png", write(encoded(photo(33), "PNG")[:-300]), "truncated"),
    Hazard("daisy/cut.gif", write(encoded(photo(34), "GIF")[:-300]), "truncated"),
    Hazard("daisy/cut.webp", write(encoded(photo(35), "WEBP")[:-100]), "damaged"),
    Hazard("daisy/cut.bmp", write(encoded(photo(36), "BMP")[:-300]), "truncated"),
    Hazard("daisy/flipped.png", write(flipped(encoded(photo(37), "PNG"), 200)), "damaged"),
    Hazard("daisy/float.tif", write(encoded(photo(38).convert("F"), "TIFF")), "unsupported"),
    # too large, too small, too long
    Hazard("daisy/bomb.png", write(png_header_of(60_000, 60_000)), "too_many_pixels"),
    Hazard("daisy/big.jpg", write(encoded(photo(39, 600, 500))), "too_many_pixels"),
    Hazard("daisy/many-bytes.jpg", _sparse, "too_many_bytes"),
    Hazard("daisy/icon.png", write(encoded(photo(40, 31, 31), "PNG")), "too_small"),
    Hazard("daisy/panorama.jpg", write(encoded(photo(41, 300, 60))), "extreme_aspect"),
    # the same again
    Hazard("daisy/a-first.jpg", write(jpeg(42))),
    Hazard("daisy/b-copy.jpg", write(jpeg(42)), "duplicate"),
    Hazard("daisy/c-other-bytes.jpg", write(jpeg(42, comment=b"saved again")), "duplicate"),
    Hazard("daisy/under-both.jpg", write(jpeg(43)), "conflicting_label"),
    Hazard("rose/under-both.jpg", write(jpeg(43)), "conflicting_label"),
    Hazard("rose/only-linked.jpg", write(jpeg(44)), "conflicting_label"),
    # not files, not from here
    Hazard("rose/link-out.jpg", link("../../secret.jpg"), "link_outside"),
    Hazard("rose/link-absolute.jpg", link("/etc/hostname"), "link_outside"),
    Hazard("rose/link-to-nothing.jpg", link("gone.jpg"), "link_broken"),
    Hazard("rose/loop-a.jpg", link("loop-b.jpg"), "link_loop"),
    Hazard("rose/loop-b.jpg", link("loop-a.jpg"), "link_loop"),
    Hazard("rose/pipe.jpg", lambda path: os.mkfifo(path), "special_file"),
    Hazard("rose/socket.jpg", _bind_socket, "special_file"),
    Hazard("stray.jpg", write(jpeg(45)), "no_class"),
    # never meant as photos
    Hazard(".DS_Store", write(b"Bud1"), "skipped"),
    Hazard("daisy/.DS_Store", write(b"Bud1"), "skipped"),
    Hazard("daisy/Thumbs.db", write(b"\xd0\xcf"), "skipped"),
    Hazard("daisy/._a-first.jpg", write(b"\0\5\x16\7"), "skipped"),
    Hazard("daisy/.plain.jpg.swp", write(b"b0VIM"), "skipped"),
    Hazard("daisy/notes.swp", write(b"b0VIM"), "skipped"),
    Hazard("daisy/plain.jpg~", write(jpeg(50)), "skipped"),
    Hazard("daisy/plain.jpg.orig", write(jpeg(51)), "skipped"),
    Hazard("daisy/.ipynb_checkpoints/plain-checkpoint.jpg", write(jpeg(52)), "skipped"),
    Hazard("rose/shouted.JPG.ORIG", write(jpeg(53))),
    Hazard(".thumbnails/daisy/001.jpg", write(jpeg(46)), "skipped"),
    Hazard("README.md", write(b"flowers"), "skipped"),
    Hazard("LICENSE.txt", write(b"CC BY"), "skipped"),
    Hazard("__MACOSX/daisy/._001.jpg", write(b"\0\5\x16\7"), "skipped"),
]


def plant(root: Path, hazards: list[Hazard]) -> None:
    for hazard in hazards:
        path = root / hazard.path
        path.parent.mkdir(parents=True, exist_ok=True)
        hazard.plant(path)
