"""Feed the ONNX file beside this one: python flowers.py photo.jpg ...

Other programs have to prepare photos as read_photo does. It needs NumPy and Pillow, and to classify
also ONNX Runtime.
"""

import io
import json
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms, ImageOps


def read_photo(path: str, side: int, fit: str) -> npt.NDArray[np.uint8]:
    """Return a photo as uint8 (side, side, 3): upright, sRGB, fitted by crop, pad or stretch."""
    with Image.open(path) as image:
        width, height = image.size
        scales = [n for n in (8, 4, 2) if min(width, height) >= 1.5 * n * side]
        scale = scales[0] if scales and image.format in ("JPEG", "MPO") else 1
        image.draft(None, (width // scale, height // scale))  # a JPEG is decoded at a part of it
        orientation = image.getexif().get(0x0112, 1)
        sides = width / scale, height / scale
        left, top = ((each - min(sides)) / 2 if fit == "crop" else 0 for each in sides)
        longest = [max(sides) if fit == "pad" else each for each in sides]
        edge = [round(side * (1 - a / b) / 2) for a, b in zip(sides, longest, strict=True)]
        across, down = (max(side - 2 * each, 1 + (side + 1) % 2) for each in edge)
        box = (left, top, sides[0] - left, sides[1] - top)
        part = to_rgb(image).resize((across, down), Image.Resampling.HAMMING, box=box)
        mean = (np.asarray(part).mean(axis=(0, 1)) + 0.5).astype(int)
        photo = Image.new("RGB", (side, side), tuple(mean.tolist()))
        photo.paste(part, ((side - across) // 2, (side - down) // 2))
        if "icc_profile" in image.info and image.mode in ("RGB", "RGBA"):
            profile = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
            ImageCms.profileToProfile(photo, profile, ImageCms.createProfile("sRGB"), inPlace=True)
    photo.getexif()[0x0112] = orientation
    return np.asarray(ImageOps.exif_transpose(photo))


def to_rgb(image: Image.Image) -> Image.Image:
    """Return an image as RGB, transparency on white; 16-bit grays scaled to 8 bits."""
    if image.mode.startswith("I;16"):
        gray = np.asarray(image).astype(np.uint32)
        image = Image.fromarray(((gray * 255 + 32767) // 65535).astype(np.uint8))
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    return image.convert("RGB")


if __name__ == "__main__":
    import onnxruntime

    session = onnxruntime.InferenceSession(str(Path(__file__).with_suffix(".onnx")))
    about = session.get_modelmeta().custom_metadata_map
    for name in sys.argv[1:]:
        photo = read_photo(name, int(about["image_size_px"]), about["fit"])
        (probabilities,) = session.run(None, {"images": photo[None]})[0]
        flower, sure = json.loads(about["classes"])[probabilities.argmax()], probabilities.max()
        print(name, flower, f"{sure:.2%}", "unsure" if sure < float(about["threshold"]) else "")
