"""A folder and every kind of archive give the same store, and nothing from outside."""

import contextlib
import io
import os
import random
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stages.common.errors import UserError
from stages.prepare.listing import Listing, list_photos
from stages.prepare.stage import Outcome, prepare_store
from tests.hazards import HAZARDS, jpeg, plant, plant_clean, settings

ANY_SIZE = 1 << 40


def listed(path: Path) -> Listing:
    return list_photos(path, ANY_SIZE)


def prepared(source: Path, folder: Path, workers: int = 1) -> Outcome:
    folder.mkdir()
    return prepare_store(source, settings(), folder, workers)


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def pack_tar(root: Path, archive: Path, wrapper: str = "") -> None:
    packed = archive.suffix in (".gz", ".tgz")
    with tarfile.open(archive, "w:gz") if packed else tarfile.open(archive, "w") as file:
        for path in shuffled(root):
            file.add(path, wrapper + path.relative_to(root).as_posix(), recursive=False)


def pack_zip(root: Path, archive: Path, wrapper: str = "") -> None:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for path in shuffled(root):
            name = wrapper + path.relative_to(root).as_posix()
            if path.is_symlink():
                member = zipfile.ZipInfo(name)
                member.external_attr = 0o120777 << 16
                file.writestr(member, str(path.readlink()))
            else:
                file.write(path, name)


def shuffled(root: Path) -> list[Path]:
    paths = sorted(root.rglob("*"))
    random.Random(1).shuffle(paths)
    return paths


@pytest.fixture(scope="module")
def dirty(tmp_path_factory) -> Path:
    """A folder with every hazard that every kind of archive can hold."""
    root: Path = tmp_path_factory.mktemp("dirty") / "photos"
    plant_clean(root)
    everywhere = [
        hazard
        for hazard in HAZARDS
        if hazard.outcome != "special_file" and hazard.path.isprintable()
    ]
    plant(root, everywhere)
    return root


@pytest.fixture(scope="module")
def store_of_folder(dirty: Path) -> dict[str, bytes]:
    prepared(dirty, dirty.parent / "store")
    return content(dirty.parent / "store")


@pytest.mark.parametrize("wrapper", ["", "flower_photos/", "./"], ids=["bare", "wrapped", "dotted"])
@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".tgz", ".zip"])
def test_archive_gives_the_bytes_of_the_folder(dirty, store_of_folder, tmp_path, suffix, wrapper):
    archive = tmp_path / f"photos{suffix}"
    (pack_zip if suffix == ".zip" else pack_tar)(dirty, archive, wrapper)
    prepared(archive, tmp_path / "store", workers=2)
    assert content(tmp_path / "store") == store_of_folder
    assert sorted(path.name for path in tmp_path.iterdir()) == [archive.name, "store"]


def test_order_of_the_folder_listing_changes_nothing(dirty, store_of_folder, tmp_path, monkeypatch):
    scandir = os.scandir

    class Backwards:
        def __init__(self, path):
            self.found = scandir(path)

        def __enter__(self):
            return reversed(list(self.found))

        def __exit__(self, *_):
            self.found.close()

    monkeypatch.setattr("stages.prepare.sources.os.scandir", Backwards)
    prepared(dirty, tmp_path / "store")
    assert content(tmp_path / "store") == store_of_folder


def test_a_wrapping_folder_is_looked_through(tmp_path: Path):
    plant_clean(tmp_path / "photos" / "flower_photos")
    (tmp_path / "photos" / "flower_photos" / "LICENSE.txt").write_text("CC BY")
    found = listed(tmp_path / "photos")
    assert found.classes == ["daisy", "rose"]
    assert found.candidates[0].path == "daisy/000.jpg"


def repacked(archive: Path, rename: Callable[[str], str]) -> Path:
    """Pack clean photos under other names, as a zip or a tar."""
    root = archive.parent / "photos"
    plant_clean(root)
    names = {path: rename(path.relative_to(root).as_posix()) for path in shuffled(root)}
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w") as file:
            slash = "/" if any("/" in name for name in names.values()) else "\\"
            for path, name in names.items():
                if path.is_dir():
                    file.writestr(name + slash, b"")
                else:
                    file.write(path, name)
    else:
        with tarfile.open(archive, "w") as file:
            for path, name in names.items():
                file.add(path, name, recursive=False)
    return archive


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
@pytest.mark.parametrize("wrapper", ["", "photos\\"], ids=["bare", "wrapped"])
def test_backslashes_of_old_windows_programs_are_slashes(tmp_path: Path, suffix, wrapper):
    archive = repacked(tmp_path / f"p{suffix}", lambda name: wrapper + name.replace("/", "\\"))
    prepared(archive, tmp_path / "store")
    prepared(tmp_path / "photos", tmp_path / "expected")
    assert content(tmp_path / "store") == content(tmp_path / "expected")


def test_backslashes_that_lead_upwards_are_rejected_as_slashes_are(tmp_path: Path):
    def rename(name: str) -> str:
        return "..\\evil.jpg" if name == "daisy/000.jpg" else name.replace("/", "\\")

    found = listed(repacked(tmp_path / "p.zip", rename))
    assert [(one.path, one.reason) for one in found.rejected] == [("../evil.jpg", "unsafe_name")]


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
def test_a_backslash_beside_slashes_is_a_letter_and_said_so(tmp_path: Path, suffix):
    names = {"daisy/000.jpg": "daisy\\000.jpg", "daisy/001.jpg": "daisy/a\\b.jpg"}
    found = listed(repacked(tmp_path / f"p{suffix}", lambda name: names.get(name, name)))
    assert [(one.path, one.reason, one.detail) for one in found.rejected] == [
        (
            "daisy\\000.jpg",
            "no_class",
            "not in a class folder; a backslash does not part folders here",
        )
    ]
    assert "daisy/a\\b.jpg" in [one.path for one in found.candidates]


def with_members(archive: Path, fill: Callable[[tarfile.TarFile], None]) -> Path:
    plant_clean(archive.parent / "photos")
    pack_tar(archive.parent / "photos", archive)
    with tarfile.open(archive, "a") as file:
        fill(file)
    return archive


def add(file: tarfile.TarFile, name: str, content: bytes = b"", **fields) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    for field, value in fields.items():
        setattr(member, field, value)
    file.addfile(member, io.BytesIO(content))


@pytest.mark.parametrize(
    ("name", "fields", "reason"),
    [
        ("../evil.jpg", {}, "unsafe_name"),
        ("daisy/../../evil.jpg", {}, "unsafe_name"),
        ("/tmp/evil.jpg", {}, "unsafe_name"),
        ("daisy/null.jpg", {"type": tarfile.CHRTYPE}, "special_file"),
        ("daisy/disk.jpg", {"type": tarfile.BLKTYPE}, "special_file"),
        ("daisy/out.jpg", {"type": tarfile.SYMTYPE, "linkname": "../../x"}, "link_outside"),
        ("daisy/out.jpg", {"type": tarfile.LNKTYPE, "linkname": "/etc/passwd"}, "link_outside"),
        ("daisy/self.jpg", {"type": tarfile.SYMTYPE, "linkname": "self.jpg"}, "link_loop"),
    ],
)
def test_what_leads_out_of_an_archive_is_rejected_by_name(tmp_path, name, fields, reason):
    archive = with_members(tmp_path / "photos.tar", lambda file: add(file, name, **fields))
    found = listed(archive)
    assert [(item.path, item.reason) for item in found.rejected] == [(name, reason)]


def test_a_hard_link_in_an_archive_is_the_file(tmp_path: Path):
    link: dict[str, Any] = {"type": tarfile.LNKTYPE, "linkname": "daisy/000.jpg"}
    archive = with_members(tmp_path / "p.tar", lambda file: add(file, "daisy/hard.jpg", **link))
    outcome = prepared(archive, tmp_path / "store")
    assert outcome.rejected.to_dict("records") == [
        {
            "path": "daisy/hard.jpg",
            "reason": "duplicate",
            "detail": "same pixels as daisy/000.jpg",
        }
    ]


def test_of_two_members_with_one_name_the_later_counts(tmp_path: Path):
    archive = with_members(
        tmp_path / "p.tar", lambda file: add(file, "daisy/000.jpg", jpeg(5, comment=b"later"))
    )
    outcome = prepared(archive, tmp_path / "store")
    assert len(outcome.accepted) == 20
    (tmp_path / "photos/daisy/000.jpg").write_bytes(jpeg(5, comment=b"later"))
    prepared(tmp_path / "photos", tmp_path / "expected")
    assert content(tmp_path / "store") == content(tmp_path / "expected")


def test_a_damaged_zip_member_is_rejected(tmp_path: Path):
    plant_clean(tmp_path / "photos")
    archive = tmp_path / "photos.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted((tmp_path / "photos").rglob("*.jpg")):
            file.write(path, path.relative_to(tmp_path / "photos"))
    whole = bytearray(archive.read_bytes())
    whole[500] ^= 1
    archive.write_bytes(whole)
    outcome = prepared(archive, tmp_path / "store")
    assert outcome.rejected["reason"].tolist() == ["damaged"]
    assert "CRC" in outcome.rejected["detail"][0]


def test_an_encrypted_zip_member_is_rejected(tmp_path: Path):
    plant_clean(tmp_path / "photos")
    archive = tmp_path / "photos.zip"
    pack_zip(tmp_path / "photos", archive)
    whole = archive.read_bytes()
    first = whole.index(b"PK\1\2")
    while b"daisy/000.jpg" not in whole[first : first + 70]:
        first = whole.index(b"PK\1\2", first + 1)
    (local,) = struct.unpack_from("<I", whole, first + 42)
    marked = bytearray(whole)
    marked[first + 8] |= 1
    marked[local + 6] |= 1
    archive.write_bytes(marked)
    outcome = prepared(archive, tmp_path / "store")
    assert outcome.rejected[["path", "reason"]].values.tolist() == [
        ["daisy/000.jpg", "unreadable_file"]
    ]


@pytest.mark.parametrize("suffix", [".tar", ".tgz", ".zip"])
@pytest.mark.parametrize("part", [0, 0.3, 0.6])
def test_an_archive_cut_short_is_an_error(tmp_path: Path, suffix: str, part: float):
    plant_clean(tmp_path / "photos")
    archive = tmp_path / f"photos{suffix}"
    (pack_zip if suffix == ".zip" else pack_tar)(tmp_path / "photos", archive)
    archive.write_bytes(archive.read_bytes()[: int(part * archive.stat().st_size)])
    with pytest.raises(UserError, match=r"photos\.\w+: .*fetch it again"):
        listed(archive)


def test_a_flipped_bit_in_a_tgz_is_an_error(tmp_path: Path):
    plant_clean(tmp_path / "photos")
    archive = tmp_path / "photos.tgz"
    pack_tar(tmp_path / "photos", archive)
    whole = bytearray(archive.read_bytes())
    whole[len(whole) // 2] ^= 4
    archive.write_bytes(whole)
    with pytest.raises(UserError, match="fetch it again"):
        listed(archive)


def test_a_missing_source_says_what_is_allowed(tmp_path: Path):
    with pytest.raises(UserError, match=r"data\.photos: .*gone not found.*\.tgz"):
        listed(tmp_path / "gone")


def test_another_kind_of_file_says_what_is_allowed(tmp_path: Path):
    (tmp_path / "photos.rar").write_bytes(b"Rar!")
    with pytest.raises(UserError, match=r"data\.photos must be a folder or a \.tar.*photos\.rar"):
        listed(tmp_path / "photos.rar")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "no class folder"),
        (["stray.jpg"], "no class folder"),
        (["daisy/1.jpg"], "only 'daisy'"),
        (["Rose/1.jpg", "rose/1.jpg"], "'Rose' and 'rose'"),
        (["caf\u00e9/1.jpg", "cafe\u0301/1.jpg"], r"'cafe\\u0301' and 'caf\\xe9'"),
        (["stra\u00dfe/1.jpg", "strasse/1.jpg"], r"'strasse' and 'stra\\xdfe'"),
    ],
)
def test_folders_that_make_no_classes_are_an_error(tmp_path: Path, names, message):
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    with pytest.raises(UserError, match=message):
        listed(tmp_path)


def test_a_folder_that_cannot_be_listed_is_named(tmp_path: Path, monkeypatch):
    plant_clean(tmp_path / "photos")

    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("stages.prepare.sources.os.scandir", refuse)
    with pytest.raises(UserError, match="photos: cannot be listed: Permission denied"):
        listed(tmp_path / "photos")


def test_a_class_of_nothing_but_rejected_files_is_an_error(tmp_path: Path):
    plant_clean(tmp_path)
    (tmp_path / "peony").mkdir()
    (tmp_path / "peony/1.jpg").symlink_to("gone.jpg")
    with pytest.raises(UserError, match=r"no photos in 'peony' \(1 link_broken\); add photos"):
        listed(tmp_path)


@pytest.fixture(params=["folder", ".tar", ".tgz", ".zip"])
def packed(request, tmp_path: Path) -> Callable[[Path], Path]:
    """Give a folder as it is, or as an archive of it."""

    def pack(root: Path) -> Path:
        if request.param == "folder":
            return root
        archive = tmp_path / f"packed{request.param}"
        (pack_zip if request.param == ".zip" else pack_tar)(root, archive)
        return archive

    return pack


def test_no_name_of_a_folder_hides_a_class(tmp_path: Path, packed):
    names = ("copying-ink", "daisy", "license-plates", "readme", "thumbs.db")
    plant_clean(tmp_path / "photos", names, count=1)
    found = listed(packed(tmp_path / "photos"))
    assert found.classes == list(names)
    assert (len(found.candidates), found.skipped) == (5, 0)


def test_an_empty_class_folder_is_an_error_that_names_it(tmp_path: Path, packed):
    plant_clean(tmp_path / "photos")
    (tmp_path / "photos" / "tulip").mkdir()
    with pytest.raises(UserError, match=r"no photos in 'tulip' \(no file that may be a photo\)"):
        listed(packed(tmp_path / "photos"))


def test_an_empty_class_folder_in_a_wrapping_one_is_an_error_that_names_it(tmp_path, packed):
    plant_clean(tmp_path / "photos" / "flowers", ("daisy",))
    (tmp_path / "photos" / "flowers" / "tulip" / "old").mkdir(parents=True)
    with pytest.raises(UserError, match="no photos in 'tulip' "):
        listed(packed(tmp_path / "photos"))


def test_a_class_of_nothing_but_skipped_files_is_an_error_that_names_it(tmp_path: Path, packed):
    plant_clean(tmp_path / "photos")
    (tmp_path / "photos" / "tulip").mkdir()
    for name in ("Thumbs.db", "readme.txt", ".1.jpg"):
        (tmp_path / "photos" / "tulip" / name).write_bytes(b"x")
    with pytest.raises(UserError, match="no photos in 'tulip' "):
        listed(packed(tmp_path / "photos"))


def test_a_class_beside_a_wrapping_folder_is_an_error_that_names_it(tmp_path: Path, packed):
    plant_clean(tmp_path / "photos" / "flowers")
    (tmp_path / "photos" / "tulip").mkdir()
    with pytest.raises(UserError, match="no photos in 'tulip' "):
        listed(packed(tmp_path / "photos"))


@pytest.mark.parametrize("target", ["../elsewhere/rose", "daisy"])
@pytest.mark.parametrize("place", ["rose", "tulip/more"])
def test_a_link_to_a_folder_is_an_error_that_names_it(tmp_path, packed, target, place):
    """It could stand for any number of photos, so it never counts as one that is rejected."""
    plant_clean(tmp_path / "photos", ("daisy", "tulip"))
    plant_clean(tmp_path / "elsewhere", ("rose",))
    (tmp_path / "photos" / place).symlink_to(tmp_path / "photos" / target)
    with pytest.raises(
        UserError, match=rf"links to folders are not followed: {place}; put the folders"
    ):
        listed(tmp_path / "photos")


def test_a_class_whose_photos_are_all_links_outside_is_named_with_their_number(tmp_path, packed):
    plant_clean(tmp_path / "photos", ("daisy", "tulip"))
    plant_clean(tmp_path / "elsewhere", ("rose",))
    (tmp_path / "photos/rose").mkdir()
    for file in (tmp_path / "elsewhere/rose").iterdir():
        (tmp_path / "photos/rose" / file.name).symlink_to(f"../../elsewhere/rose/{file.name}")
    message = r"no photos in 'rose' \(10 link_outside\); .* `cp -rL` copies the files that links"
    with pytest.raises(UserError, match=message):
        listed(packed(tmp_path / "photos"))


def test_links_into_dvcs_cache_are_the_photos_themselves(tmp_path: Path):
    plant_clean(tmp_path / "plain")
    for number, file in enumerate(sorted((tmp_path / "plain").rglob("*.jpg"))):
        kept = tmp_path / f"cache/files/md5/ab/{number:030x}"
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(file.read_bytes())
        link = tmp_path / "photos" / file.relative_to(tmp_path / "plain")
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(kept)
    stores = [tmp_path / "store-of-plain", tmp_path / "store-of-links"]
    for source, store in zip(("plain", "photos"), stores, strict=True):
        prepared(tmp_path / source, store)
    plain, links = ({p.name: p.read_bytes() for p in store.iterdir()} for store in stores)
    assert links == plain


def test_a_link_beside_the_classes_to_a_photo_is_rejected(tmp_path: Path, packed):
    plant_clean(tmp_path / "photos")
    (tmp_path / "photos" / "best").symlink_to("daisy/000.jpg")
    (tmp_path / "photos" / "gone.jpg").symlink_to("daisy/gone.jpg")
    found = listed(packed(tmp_path / "photos"))
    assert [(one.path, one.reason) for one in found.rejected] == [
        ("best", "no_class"),
        ("gone.jpg", "no_class"),
    ]


def test_hidden_folders_are_no_classes(tmp_path: Path, packed):
    plant_clean(tmp_path / "photos")
    for name in (".git", ".ipynb_checkpoints", "__MACOSX"):
        (tmp_path / "photos" / name / "inner").mkdir(parents=True)
        (tmp_path / "photos" / name / "1.jpg").write_bytes(b"x")
    found = listed(packed(tmp_path / "photos"))
    assert found.classes == ["daisy", "rose"]
    assert (len(found.rejected), found.skipped) == (0, 3)


def test_a_name_that_the_system_cannot_have_is_one_clear_line(tmp_path: Path):
    with pytest.raises(
        UserError, match=r"data\.photos: .* File name too long; it must be a folder"
    ):
        listed(tmp_path / ("a" * 300))


def test_a_zip_with_any_wrong_byte_is_read_or_refused(tmp_path: Path):
    archive = tmp_path / "photos.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for name in ("daisy/1.jpg", "rose/\N{LATIN SMALL LETTER E WITH ACUTE}.jpg"):
            file.writestr(name, b"photo")
    whole = archive.read_bytes()
    for place in range(len(whole)):
        for bit in (0x01, 0x08, 0x80):
            damaged = bytearray(whole)
            damaged[place] ^= bit
            archive.write_bytes(damaged)
            with contextlib.suppress(UserError):
                listing = listed(archive)
                wanted = {one.entry for one in listing.candidates}
                list(listing.source.contents(wanted))


def flip(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def test_a_flipped_bit_in_any_header_of_a_plain_tar_is_an_error(tmp_path: Path):
    plant_clean(tmp_path / "photos", count=3)
    archive = tmp_path / "photos.tar"
    pack_tar(tmp_path / "photos", archive)
    whole = archive.read_bytes()
    with tarfile.open(archive) as members:
        headers = [member.offset for member in members]
    for place in headers:
        for byte in (0, 100, 124, 148, 156, 257):  # name, mode, size, checksum, kind, magic
            archive.write_bytes(flip(whole, place + byte))
            with pytest.raises(UserError, match=r"photos\.tar: .*fetch it again"):
                listed(archive)


def test_a_plain_tar_cut_anywhere_is_an_error(tmp_path: Path):
    plant_clean(tmp_path / "photos", count=2)
    archive = tmp_path / "photos.tar"
    pack_tar(tmp_path / "photos", archive)
    whole = archive.read_bytes()
    end = len(whole.rstrip(b"\0"))
    for length in [*range(0, end, 512), *range(100, end, 2000)]:
        archive.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"photos\.tar: .*fetch it again"):
            listed(archive)


@pytest.mark.parametrize("suffix", [".tar", ".tgz"])
def test_two_joined_archives_are_an_error(tmp_path: Path, suffix: str):
    for name in ("daisy", "rose"):
        plant_clean(tmp_path / name, (name,))
        pack_tar(tmp_path / name, tmp_path / f"{name}{suffix}")
    joined = tmp_path / f"photos{suffix}"
    both = [(tmp_path / f"{name}{suffix}").read_bytes() for name in ("daisy", "rose")]
    joined.write_bytes(b"".join(both))
    with pytest.raises(UserError, match="or another archive is joined to it"):
        listed(joined)


def test_a_member_of_senseless_size_is_an_error(tmp_path: Path):
    header = tarfile.TarInfo("daisy/1.jpg")
    header.size = 2**62
    (tmp_path / "photos.tar").write_bytes(header.tobuf(tarfile.GNU_FORMAT) + bytes(2048))
    with pytest.raises(UserError, match=r"photos\.tar: .*fetch it again"):
        listed(tmp_path / "photos.tar")


def test_headers_of_long_names_without_end_are_an_error(tmp_path: Path):
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 5
    block = header.tobuf(tarfile.GNU_FORMAT) + b"name\0".ljust(512, b"\0")
    (tmp_path / "photos.tar").write_bytes(block * 5000 + bytes(1024))
    with pytest.raises(UserError, match=r"photos\.tar: .*fetch it again"):
        listed(tmp_path / "photos.tar")


@pytest.mark.parametrize(
    "name",
    [
        *("@eaDir", "#recycle", "@Recycle", "#snapshot", "$RECYCLE.BIN", "lost+found"),
        *("System Volume Information", ".AppleDouble", ".ipynb_checkpoints", "__MACOSX"),
    ],
)
def test_system_folders_are_skipped_at_every_level(tmp_path: Path, name: str):
    plant_clean(tmp_path / "photos")
    for place in ("", "daisy", "daisy/sub"):
        (tmp_path / "photos" / place / name).mkdir(parents=True)
        (tmp_path / "photos" / place / name / "1.jpg").write_bytes(jpeg(7))
    found = listed(tmp_path / "photos")
    assert found.classes == ["daisy", "rose"]
    assert found.skipped == 3
    assert len(found.candidates) == 20


def test_dvc_files_beside_class_folders_are_skipped(tmp_path: Path):
    plant_clean(tmp_path / "photos")
    (tmp_path / "photos/daisy.dvc").write_text("outs: []")
    assert listed(tmp_path / "photos").skipped == 1


def zip_of(tmp_path: Path, *classes: str) -> bytes:
    plant_clean(tmp_path / "-".join(classes), classes, 3)
    pack_zip(tmp_path / "-".join(classes), tmp_path / "one.zip")
    return (tmp_path / "one.zip").read_bytes()


def test_joined_zips_and_what_follows_or_precedes_one_are_errors(tmp_path: Path):
    one, other = zip_of(tmp_path, "daisy", "rose"), zip_of(tmp_path, "tulip", "peony")
    path = tmp_path / "photos.zip"
    for content in (other + one, one + b"junk", b"junk" + one, one + bytes(3000)):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"photos\.zip: .*(follows its end|precedes it)"):
            listed(path)
    path.write_bytes(one)
    assert listed(path).classes == ["daisy", "rose"]


def test_a_zip_whose_directory_is_incomplete_is_an_error(tmp_path: Path):
    whole = zip_of(tmp_path, "daisy", "rose", "tulip")
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        start, last = archive.start_dir, archive.infolist()[-1]
    size = 46 + len(last.filename.encode()) + len(last.extra)
    directory, end = whole[start:-22], whole[-22:]
    fewer = struct.pack("<HH", 8, 8) + struct.pack("<I", len(directory) - size)
    for record in (end[:8] + fewer + end[16:], end[:12] + fewer[4:] + end[16:]):
        (tmp_path / "photos.zip").write_bytes(whole[:start] + directory[:-size] + record)
        with pytest.raises(UserError, match=r"photos\.zip: is not an archive that can be read"):
            listed(tmp_path / "photos.zip")


def test_names_in_utf_8_without_a_flag_are_read_as_utf_8(tmp_path: Path):
    plant_clean(tmp_path / "photos", ("daisy", "rosé"), 3)
    pack_zip(tmp_path / "photos", tmp_path / "photos.zip")
    content = (tmp_path / "photos.zip").read_bytes()
    content = content.replace(b"PK\3\4\x14\0\0\x08", b"PK\3\4\x14\0\0\0")
    content = content.replace(b"PK\1\2\x14\x03\x14\0\0\x08", b"PK\1\2\x14\x03\x14\0\0\0")
    (tmp_path / "photos.zip").write_bytes(content)
    with zipfile.ZipFile(tmp_path / "photos.zip") as archive:
        assert not any(member.flag_bits & 0x800 for member in archive.infolist())
    assert listed(tmp_path / "photos.zip").classes == ["daisy", "rosé"]


def test_what_gnu_tar_adds_is_no_photo(tmp_path: Path):
    """A volume's label, a folder's dump, and a second mention of a file: a link to itself."""
    plant_clean(tmp_path / "photos")
    pack_tar(tmp_path / "photos", tmp_path / "photos.tar")
    plain = listed(tmp_path / "photos.tar")
    with tarfile.open(tmp_path / "photos.tar", "a") as archive:
        label, dump = tarfile.TarInfo("2024"), tarfile.TarInfo("daisy")
        label.type, dump.type = b"V", b"D"
        again = tarfile.TarInfo("daisy/000.jpg")
        again.type, again.linkname = tarfile.LNKTYPE, "./daisy/000.jpg"
        for member in (label, dump, again):
            archive.addfile(member)
    found = listed(tmp_path / "photos.tar")
    assert (found.candidates, found.rejected, found.skipped) == (plain.candidates, [], 0)


def test_a_name_that_leads_upwards_replaces_no_honest_one(tmp_path: Path):
    plant_clean(tmp_path / "photos")
    pack_tar(tmp_path / "photos", tmp_path / "photos.tar")
    with tarfile.open(tmp_path / "photos.tar", "a") as archive:
        member = tarfile.TarInfo("x/../daisy/000.jpg")
        member.size = 3
        archive.addfile(member, io.BytesIO(b"bad"))
    found = listed(tmp_path / "photos.tar")
    assert len(found.candidates) == 20
    assert [one.reason for one in found.rejected] == ["unsafe_name"]


def test_a_dangling_class_link_with_a_dot_in_its_name_is_named(tmp_path: Path):
    plant_clean(tmp_path / "photos")
    (tmp_path / "photos/v1.lily").symlink_to("/nowhere")
    with pytest.raises(UserError, match=r"no photos in 'v1\.lily' \(1 link_outside\)"):
        listed(tmp_path / "photos")


def test_a_path_that_no_system_can_have_is_one_clear_line() -> None:
    with pytest.raises(UserError, match=r"data\.photos: a\\x00b cannot be a path; it must be"):
        listed(Path("a\0b"))
