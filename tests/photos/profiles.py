"""Make color profiles."""

import struct

SRGB_CURVE = ("para", 3, [2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045])
P3 = [(0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407)]
ADOBE = [(0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)]
SRGB = [(0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410)]


def fixed(*values: float) -> bytes:
    return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))


def curve(kind: str, form: int, values: list[float]) -> bytes:
    if kind == "para":
        return b"para\0\0\0\0" + struct.pack(">HH", form, 0) + fixed(*values)
    levels = [round(value) for value in values]
    return b"curv\0\0\0\0" + struct.pack(f">I{len(levels)}H", len(levels), *levels)


def profile(
    columns: list[tuple[float, float, float]],
    trc: tuple[str, int, list[float]] = SRGB_CURVE,
    space: bytes = b"RGB XYZ ",
) -> bytes:
    """Return a display profile with a matrix and one curve."""
    tags = {b"wtpt": b"XYZ \0\0\0\0" + fixed(0.9642, 1, 0.82491)}
    tags[b"desc"] = b"desc\0\0\0\0" + struct.pack(">I", 2) + b"t\0" + bytes(79)
    tags[b"cprt"] = b"text\0\0\0\0-\0\0\0"
    for name, column in zip((b"r", b"g", b"b"), columns, strict=True):
        tags[name + b"XYZ"] = b"XYZ \0\0\0\0" + fixed(*column)
        tags[name + b"TRC"] = curve(*trc)
    offset, table, body = 132 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for tag, content in tags.items():
        table += struct.pack(">4sII", tag, offset + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    size = offset + len(body)
    head = struct.pack(">I4sI4s8s", size, bytes(4), 0x02400000, b"mntr", space)
    head += bytes(12) + b"acsp" + bytes(28) + fixed(0.9642, 1, 0.82491)
    return head.ljust(128, b"\0") + table + body
