"""One photo's bytes to the pixels that the network sees."""

import hashlib
import io
import struct
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pillow_heif
import pytest
import simplejpeg
from PIL import Image, ImageCms, TiffImagePlugin

from stages.common.errors import PhotoError
from stages.common.schema import Fit
from stages.photos import photo as module
from stages.photos.photo import Limits, decode_photo, is_heic
from stages.photos.pixels import fit_square
from stages.photos.profile import to_srgb
from tests.hazards import encoded, exif, gray_ramp, jpeg, photo, png_16_bit, png_header_of
from tests.photos.profiles import ADOBE, P3, SRGB, SRGB_CURVE, profile

ANY = Limits(min_side_px=1, max_megapixels=1000, max_aspect_ratio=1000)


def pixels(content: bytes, size_px: int = 32, fit: Fit = "crop") -> np.ndarray:
    return decode_photo(content, size_px, fit, ANY).pixels


def reference(image: Image.Image, size_px: int = 32) -> np.ndarray:
    """What the photo looks like when it is decoded, turned and converted the slow way."""
    return np.asarray(fit_square(image.convert("RGB"), *image.size, size_px, "crop"))


def quality_db(a: np.ndarray, b: np.ndarray) -> float:
    """Peak signal-to-noise ratio."""
    error = np.mean((a.astype(float) - b) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


def flat(*color: int, mode: str = "RGB") -> Image.Image:
    return Image.new(mode, (40, 40), color if len(color) > 1 else color[0])


def test_pixels_are_square_rgb_and_sizes_are_the_photos():
    found = decode_photo(jpeg(1), 32, "crop", ANY)
    assert found.pixels.shape == (32, 32, 3)
    assert found.pixels.dtype == np.uint8
    assert (found.width, found.height) == (96, 72)


UPRIGHT = [
    lambda square: square,
    lambda square: square[:, ::-1],
    lambda square: square[::-1, ::-1],
    lambda square: square[::-1],
    lambda square: square.swapaxes(0, 1),
    lambda square: np.rot90(square, -1),
    lambda square: np.rot90(square, 2).swapaxes(0, 1),
    np.rot90,
]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_every_exif_orientation_is_turned_upright(orientation, kind):
    lying = pixels(encoded(photo(1), kind, lossless=True, quality=95))
    content = encoded(photo(1), kind, exif=exif(orientation), lossless=True, quality=95)
    found = decode_photo(content, 32, "crop", ANY)
    assert (found.width, found.height) == ((96, 72) if orientation < 5 else (72, 96))
    difference = found.pixels.astype(int) - UPRIGHT[orientation - 1](lying)
    assert np.abs(difference).max() <= (kind == "TIFF")  # Pillow turns a TIFF before it is scaled


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    "data", [*map(exif, (0, 9, 77)), b"Exif\0\0MM\0*\0\0\0\xff\xff\xff", b"Exif\0\0garbage"]
)
def test_senseless_and_broken_exif_is_ignored(kind, data):
    np.testing.assert_array_equal(
        pixels(encoded(photo(1), kind, exif=data)), pixels(encoded(photo(1), kind))
    )


def test_16_bit_gray_is_scaled_not_clipped():
    content = png_16_bit(np.full((40, 40), 32768, np.uint16))
    assert np.unique(pixels(content)).tolist() == [128]
    np.testing.assert_array_equal(
        pixels(png_16_bit(gray_ramp(1))), reference(photo(1).convert("L"))
    )


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (flat(0, 0, 0, 32, mode="RGBA"), (223, 223, 223)),
        (flat(10, 20, 30, 255, mode="RGBA"), (10, 20, 30)),
        (flat(0, 0, 0, 128, mode="RGBA"), (127, 127, 127)),
        (flat(0, 51, mode="LA"), (204, 204, 204)),
        (flat(1, mode="1"), (255, 255, 255)),
        (flat(90, mode="L"), (90, 90, 90)),
    ],
    ids=["nearly clear", "opaque", "half", "nearly clear gray", "one bit", "gray"],
)
def test_transparency_lies_on_white(image, expected):
    assert np.unique(pixels(encoded(image, "PNG")).reshape(-1, 3), axis=0).tolist() == [[*expected]]


def test_transparent_color_of_a_palette_and_of_rgb_lies_on_white():
    image = flat(9, 9, 9)
    image.paste((250, 0, 0), (0, 0, 10, 40))
    few = image.quantize(2)
    for content in (
        encoded(few, "PNG", transparency=few.getpixel((39, 39))),
        encoded(image, "PNG", transparency=(9, 9, 9)),
    ):
        found = pixels(content)
        assert found[0, 0].tolist() == [250, 0, 0]
        assert found[-1, -1].tolist() == [255, 255, 255]


def test_cmyk_keeps_its_colors():
    content = encoded(flat(200, 60, 20).convert("CMYK"), quality=95)
    assert np.abs(pixels(content).reshape(-1, 3) - np.array([200.0, 60, 20])).max() < 6


def test_first_frame_of_a_gif_is_taken():
    moving = encoded(flat(250, 0, 0), "GIF", save_all=True, append_images=[flat(0, 0, 250)])
    assert pixels(moving)[0, 0].tolist() == [250, 0, 0]


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "WEBP"])
def test_lossless_formats_give_the_same_pixels(kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    np.testing.assert_array_equal(pixels(encoded(photo(1), kind, **options)), reference(photo(1)))


def test_gray_jpeg_gives_gray_pixels():
    found = pixels(encoded(photo(1).convert("L"), quality=95))
    assert (found[..., 0] == found[..., 1]).all()
    assert quality_db(found, reference(photo(1).convert("L"))) > 35


@pytest.mark.parametrize(
    "size", [(96, 72), (72, 96), (97, 131), (400, 300), (401, 307), (1001, 777)]
)
def test_jpeg_decoded_scaled_down_looks_as_if_decoded_in_full(size):
    content = encoded(photo(2, *size), quality=92)
    decoded_in_full = Image.open(io.BytesIO(content))
    assert quality_db(pixels(content), reference(decoded_in_full)) > 38


def test_the_middle_is_kept():
    image = photo(3, 90, 30)
    expected = reference(image.crop((30, 0, 60, 30)))
    np.testing.assert_array_equal(pixels(encoded(image, "PNG")), expected)


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (Limits(73, 1, 4), "too_small"),
        (Limits(1, 0.0069, 4), "too_many_pixels"),
        (Limits(1, 1, 1.3), "extreme_aspect"),
    ],
)
def test_limits_are_kept(limits, reason):
    with pytest.raises(PhotoError, match="96x72") as caught:
        decode_photo(jpeg(1), 32, "crop", limits)
    assert caught.value.reason == reason


def test_a_photo_at_the_limits_is_accepted():
    decode_photo(jpeg(1), 32, "crop", Limits(72, 96 * 72 / 1e6, 96 / 72))


def test_photos_of_every_size_are_accepted_at_limits_of_that_size():
    for width in range(100, 300):
        content = encoded(Image.new("L", (width, 100)), "PNG")
        limits = Limits(100, float(f"{width / 1e4:.4f}"), float(f"{width / 100:.2f}"))
        decode_photo(content, 32, "crop", limits)
        for less in (
            replace(limits, max_megapixels=float(f"{(width - 1) / 1e4:.4f}")),
            replace(limits, max_aspect_ratio=float(f"{(width - 1) / 100:.2f}")),
        ):
            with pytest.raises(PhotoError, match=r"too_many_pixels|extreme_aspect"):
                decode_photo(content, 32, "crop", less)


@pytest.mark.parametrize("content", [jpeg(1), jpeg(1, exif=exif(6))], ids=["plain", "turned"])
def test_what_a_later_decoder_may_say_of_damage_rejects_the_photo(content, monkeypatch):
    def complain(*_, **__):
        raise ValueError("Suspicious entropy")

    monkeypatch.setattr("simplejpeg.decode_jpeg", complain)
    with pytest.raises(PhotoError, match="damaged: Suspicious entropy"):
        pixels(content)


def patched(content: bytes, place: int, value: int) -> bytes:
    return content[:place] + bytes([value]) + content[place + 1 :]


def test_odd_headers_of_whole_jpegs_are_no_damage():
    whole = jpeg(1)
    last_of_scan = whole.index(b"\xff\xda") + 5 + 2 * 3 + 1
    for odd in (patched(whole, 11, 9), patched(whole, last_of_scan, 0)):  # JFIF 9; SOS parameters
        with pytest.raises(ValueError, match=r"JFIF|SOS"):
            simplejpeg.decode_jpeg(odd)
        assert quality_db(pixels(odd), pixels(whole)) > 35


def test_an_inconsistent_progression_is_damage():
    content = jpeg(2, progressive=True)
    second = content.index(b"\xff\xda", content.index(b"\xff\xda") + 2)
    with pytest.raises(PhotoError, match="damaged: Inconsistent progression"):
        pixels(patched(content, second + 5 + 2 + 2, 0x32))


def test_pillows_own_guard_stays_armed_for_others():
    guard = Image.MAX_IMAGE_PIXELS
    assert guard
    huge = png_header_of(60_000, 60_000)
    with pytest.raises(PhotoError, match="too_many_pixels"):
        pixels(huge)
    assert guard == Image.MAX_IMAGE_PIXELS
    with pytest.raises(Image.DecompressionBombError):
        Image.open(io.BytesIO(huge))


@pytest.mark.parametrize("side", [32, 33])
@pytest.mark.parametrize("size", [(96, 72), (72, 96), (97, 13), (13, 97), (400, 1)])
def test_all_of_a_padded_photo_is_seen_on_its_mean_color(size, side):
    width, height = size
    content = encoded(Image.new("RGB", size, (200, 100, 50)), "PNG")
    assert (pixels(content, side, "pad") == [200, 100, 50]).all()
    found = pixels(encoded(photo(3, width, height), "PNG"), side, "pad").astype(int)
    short = max(1, round(side * min(size) / max(size)))
    bars = found if width > height else found.swapaxes(0, 1)
    assert (
        np.abs(
            bars[: (side - short) // 2 - 1] - np.asarray(photo(3, width, height)).mean((0, 1))
        ).max()
        <= 3
    )
    upright = photo(3, width, height).transpose(Image.Transpose.ROTATE_270)
    turned = encoded(upright, "PNG", exif=exif(8))  # 8: to be turned by 90 degrees
    np.testing.assert_allclose(pixels(turned, side, "pad").astype(int), found, atol=1)


def test_a_stretched_photo_fills_the_square():
    found = pixels(encoded(photo(3, 96, 24), "PNG"), 32, "stretch")
    expected = np.asarray(photo(3, 96, 24).resize((32, 32), Image.Resampling.HAMMING))
    np.testing.assert_array_equal(found, expected)


GAMMA = ("curv", 0, [0x0233])
STEPS = ("curv", 0, [65535 * (step / 500) ** 2.2 for step in range(501)])
CURVES = [
    (P3, SRGB_CURVE),
    (P3, ("curv", 0, [])),
    (P3, ("para", 4, [*SRGB_CURVE[2], 0, 0])),
    (ADOBE, GAMMA),
    (ADOBE, STEPS),
    (ADOBE, ("para", 0, [2.2])),
    (ADOBE, ("para", 1, [2.2, 1, 0])),
    (ADOBE, ("para", 2, [2.2, 1, 0, 0])),
]


@pytest.mark.parametrize(("columns", "curve"), CURVES)
def test_colors_of_a_profile_become_those_of_srgb(columns, curve):
    """As Little CMS converts them."""
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    icc = profile(columns, curve)
    image = Image.fromarray(noise)
    expected = ImageCms.profileToProfile(
        image, ImageCms.ImageCmsProfile(io.BytesIO(icc)), ImageCms.createProfile("sRGB")
    )
    found = to_srgb(image, icc)
    assert np.abs(np.asarray(found).astype(int) - np.asarray(expected)).max() <= 1
    assert np.abs(np.asarray(found).astype(int) - noise).max() > 10


def test_colors_are_the_same_on_every_machine():
    ramp = Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3))
    digest = hashlib.sha256(np.asarray(to_srgb(ramp, profile(P3))).tobytes()).hexdigest()
    assert digest[:16] == "8b4a544837a1a028"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_files_with_a_profile_are_converted(kind):
    image = Image.new("RGB", (40, 40), (200, 60, 60))
    plain = pixels(encoded(image, kind, lossless=True))
    wide = pixels(encoded(image, kind, lossless=True, icc_profile=profile(P3)))
    assert np.abs(wide[0, 0].astype(int) - [217, 43, 54]).max() <= 3
    same = pixels(encoded(image, kind, lossless=True, icc_profile=profile(SRGB)))
    np.testing.assert_array_equal(same, plain)
    assert to_srgb(image, profile(SRGB)) is image  # no byte of a photo in sRGB changes


@pytest.mark.parametrize(
    "icc",
    [
        b"",
        b"garbage",
        profile(P3)[:200],
        profile(P3, space=b"CMYKLab "),
        profile(P3, ("curv", 0, [])).replace(b"curv", b"ABCD"),
        profile(P3, ("para", 0, [-1e4])),
        profile([(x / 2, y / 2, z / 2) for x, y, z in P3]),
        profile(P3).replace(struct.pack(">HH", 3, 0), struct.pack(">HH", 9, 0)),
    ],
)
def test_a_profile_that_cannot_be_converted_is_ignored_and_said(icc):
    image = Image.new("RGB", (40, 40), (200, 60, 60))
    found = decode_photo(encoded(image, "PNG", icc_profile=icc), 32, "crop", ANY)
    assert (found.pixels == [200, 60, 60]).all()
    assert found.profile_ignored == bool(icc)
    gray = encoded(image.convert("L"), "PNG", icc_profile=icc)
    assert not decode_photo(gray, 32, "crop", ANY).profile_ignored


def tiff(image: Image.Image, **tags: Any) -> bytes:
    names = {"photometric": 262, "subfile": 254, "parts": 330, "dng": 50706}
    info = TiffImagePlugin.ImageFileDirectory_v2()
    for name, value in tags.items():
        info[names[name]] = value
    return encoded(image, "TIFF", tiffinfo=info)


@pytest.mark.parametrize(
    "content",
    [
        tiff(photo(1), subfile=1, parts=8),
        tiff(photo(1), dng=b"\1\4\0\0"),
        tiff(photo(1), photometric=32803),
        tiff(photo(1), photometric=34892),
    ],
)
def test_a_cameras_raw_file_is_not_taken_for_its_preview(content):
    with pytest.raises(PhotoError, match=r"unsupported: a.*camera's raw file; develop it"):
        pixels(content)


def test_a_cr2_is_known_by_its_start():
    content = encoded(photo(1), "TIFF")
    with Image.open(io.BytesIO(content)) as image:
        module._check_raw(image, content)
        with pytest.raises(PhotoError, match=r"unsupported: a camera's raw file"):
            module._check_raw(image, content[:8] + b"CR\2\0")


def test_a_tiff_with_smaller_copies_inside_is_a_photo():
    found = pixels(tiff(photo(1), subfile=0, parts=8))
    np.testing.assert_array_equal(found, pixels(encoded(photo(1), "TIFF")))


def test_zero_may_be_white_in_16_bits():
    deep = Image.fromarray(np.full((40, 40), 60_000, np.uint16))
    assert (pixels(tiff(deep, photometric=1)) == 233).all()
    assert (pixels(tiff(deep, photometric=0)) == 22).all()


def test_a_transparent_picture_is_none():
    image = photo(1)
    image.putalpha(31)
    with pytest.raises(PhotoError, match=r"unsupported: it is transparent: on white, nothing"):
        pixels(encoded(image, "PNG"))
    image.putalpha(40)
    assert pixels(encoded(image, "PNG")).min() < 255


def heic(seed: int, **options: object) -> bytes:
    pillow_heif.register_heif_opener()
    return encoded(photo(seed), "HEIF", **options)


def test_heic_is_decoded_like_the_same_photo_in_another_format() -> None:
    plain = decode_photo(encoded(photo(3), "PNG"), 32, "crop", ANY).pixels.astype(int)
    found = decode_photo(heic(3, quality=-1), 32, "crop", ANY).pixels
    assert np.abs(found - plain).max() < 12


def test_avif_is_decoded_like_the_same_photo_in_another_format() -> None:
    plain = decode_photo(encoded(photo(3), "PNG"), 32, "crop", ANY).pixels.astype(int)
    found = decode_photo(encoded(photo(3), "AVIF", quality=100), 32, "crop", ANY).pixels
    assert np.abs(found - plain).max() < 12
    assert not is_heic(encoded(photo(3), "AVIF"))


def test_heic_without_its_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    content = heic(3)
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    module._can_read_heic.cache_clear()
    with pytest.raises(PhotoError, match="HEIC, which needs `pip install pillow-heif`") as refused:
        decode_photo(content, 32, "crop", ANY)
    assert refused.value.reason == "unsupported"
    module._can_read_heic.cache_clear()


def test_a_jpeg_of_hundreds_of_scans_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last scan again and again: each takes a pass over all pixels."""
    content = jpeg(1, progressive=True)
    scan = content[content.rindex(b"\xff\xda") : -2]
    monkeypatch.setattr(module, "decode_jpeg", lambda *_: pytest.fail("it was decoded"))
    with pytest.raises(PhotoError, match=r"^damaged: 1,0\d\d scans, which take too long"):
        decode_photo(content[:-2] + scan * 1000 + content[-2:], 32, "crop", Limits(8, 1, 4))


def test_eight_threads_decode_what_one_does() -> None:
    contents = [encoded(photo(seed, 400, 300)) for seed in range(40)]
    contents += [encoded(photo(seed), "PNG") for seed in range(40)]
    alone = [pixels(content) for content in contents]
    guard, filters = Image.MAX_IMAGE_PIXELS, [*warnings.filters]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(pixels, 10 * contents))
    np.testing.assert_array_equal(together, 10 * alone)
    assert (guard, filters) == (Image.MAX_IMAGE_PIXELS, [*warnings.filters])


def test_pillows_guard_stays_off_until_the_last_thread_is_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first one in comes out while the second one has yet to open a huge photo."""
    guard, filters = Image.MAX_IMAGE_PIXELS, [*warnings.filters]
    first_is_out, second_is_in = threading.Event(), threading.Event()
    content, open_image = encoded(photo(1), "PNG"), module._open

    def meet(content: bytes) -> Image.Image:
        if threading.current_thread().name.startswith("second"):
            second_is_in.set()
            assert first_is_out.wait(10)
            assert Image.MAX_IMAGE_PIXELS is None
        else:
            assert second_is_in.wait(10)
        return open_image(content)

    monkeypatch.setattr(module, "_open", meet)
    with ThreadPoolExecutor(1) as first, ThreadPoolExecutor(1, "second") as second:
        one, other = (pool.submit(pixels, content) for pool in (first, second))
        one.result()
        first_is_out.set()
        other.result()
    assert (guard, filters) == (Image.MAX_IMAGE_PIXELS, [*warnings.filters])
