"""A folder and every kind of archive give the same store, and nothing from outside."""

import contextlib
import io
import os
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stages.common.errors import UserError
from stages.prepare.listing import Listing, list_photos
from tests.hazards import HAZARDS, jpeg, plant, plant_clean
from tests.prepare.stores import content, pack, prepared, shuffled

ANY_SIZE = 1 << 40
ARCHIVES = [".tar", ".tgz", ".zip"]


def listed(path: Path) -> Listing:
    return list_photos(path, ANY_SIZE)


def plant_tree(root: Path, names: str) -> None:
    """Make folders (``a/``), links (``a->b``) and files of one byte."""
    for name in names.split():
        path, _, target = name.partition("->")
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        if target:
            (root / path).symlink_to(target)
        elif name.endswith("/"):
            (root / path).mkdir(parents=True)
        else:
            (root / path).write_bytes(b"x")


@pytest.fixture(params=["folder", *ARCHIVES])
def packed(request, tmp_path: Path) -> Callable[[Path], Path]:
    """Give a folder as it is, or as an archive of it."""

    def give(root: Path) -> Path:
        if request.param == "folder":
            return root
        return pack(root, tmp_path / f"packed{request.param}")

    return give


# the same store


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
@pytest.mark.parametrize("suffix", [*ARCHIVES, ".tar.gz"])
def test_archive_gives_the_bytes_of_the_folder(dirty, store_of_folder, tmp_path, suffix, wrapper):
    archive = pack(dirty, tmp_path / f"photos{suffix}", wrapper)
    prepared(archive, tmp_path / "store", workers=2)
    assert content(tmp_path / "store") == store_of_folder
    assert sorted(path.name for path in tmp_path.iterdir()) == [archive.name, "store"]


def test_order_of_the_folder_listing_changes_nothing(dirty, store_of_folder, tmp_path, monkeypatch):
    scandir = os.scandir

    class Backwards:
        def __init__(self, path):
            self.items = scandir(path)

        def __enter__(self):
            return reversed(list(self.items))

        def __exit__(self, *_):
            self.items.close()

    monkeypatch.setattr("stages.prepare.sources.os.scandir", Backwards)
    prepared(dirty, tmp_path / "store")
    assert content(tmp_path / "store") == store_of_folder


def test_links_into_dvcs_cache_are_the_photos_themselves(tmp_path: Path):
    plant_clean(tmp_path / "plain")
    for number, file in enumerate(sorted((tmp_path / "plain").rglob("*.jpg"))):
        kept = tmp_path / f"cache/files/md5/ab/{number:030x}"
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(file.read_bytes())
        link = tmp_path / "photos" / file.relative_to(tmp_path / "plain")
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(kept)
    prepared(tmp_path / "plain", tmp_path / "expected")
    prepared(tmp_path / "photos", tmp_path / "store")
    assert content(tmp_path / "store") == content(tmp_path / "expected")


# names


def test_a_wrapping_folder_is_looked_through(tmp_path: Path):
    plant_clean(tmp_path / "photos" / "flower_photos")
    (tmp_path / "photos" / "flower_photos" / "LICENSE.txt").write_text("CC BY")
    listing = listed(tmp_path / "photos")
    assert listing.classes == ["daisy", "rose"]
    assert listing.candidates[0].path == "daisy/000.jpg"


def test_no_name_of_a_folder_hides_a_class(tmp_path: Path, packed):
    names = ("copying-ink", "daisy", "license-plates", "readme", "thumbs.db")
    plant_clean(tmp_path / "photos", names, count=1)
    listing = listed(packed(tmp_path / "photos"))
    assert listing.classes == list(names)
    assert (len(listing.candidates), listing.skipped) == (5, 0)


def test_system_folders_and_clutter_are_skipped_at_every_level(tmp_path: Path, packed):
    folders = [
        *("@eaDir", "#recycle", "@Recycle", "#snapshot", "$RECYCLE.BIN", "lost+found", ".git"),
        *("System Volume Information", ".AppleDouble", ".ipynb_checkpoints", "__MACOSX"),
        "__pycache__",
    ]
    files = ["daisy.dvc", "1.jpg.orig", "1.jpg~", "1.swp", ".1.jpg.swp", ".DS_Store", "1.pyc"]
    plant_clean(tmp_path / "photos")
    for parent in ("", "daisy", "daisy/sub"):
        for folder in folders:
            (tmp_path / "photos" / parent / folder / "inner").mkdir(parents=True)
            (tmp_path / "photos" / parent / folder / "1.jpg").write_bytes(b"x")
        for name in files:
            (tmp_path / "photos" / parent / name).write_bytes(b"x")
    listing = listed(packed(tmp_path / "photos"))
    assert listing.classes == ["daisy", "rose"]
    assert listing.skipped == 3 * (len(folders) + len(files))
    assert (len(listing.candidates), listing.rejected) == (20, [])


def test_a_link_beside_the_classes_to_a_photo_is_rejected(tmp_path: Path, packed):
    plant_clean(tmp_path / "photos")
    plant_tree(tmp_path / "photos", "best->daisy/000.jpg gone.jpg->daisy/gone.jpg")
    listing = listed(packed(tmp_path / "photos"))
    assert [(one.path, one.reason) for one in listing.rejected] == [
        ("best", "no_class"),
        ("gone.jpg", "no_class"),
    ]


# errors of names

NO_PHOTO = r"no photos in 'tulip' \(no file that may be a photo\); add photos that can be used"
OUTSIDE = " ".join(f"rose/{n}.jpg->../../elsewhere/rose/{n:03}.jpg" for n in range(10))
CLASSES_THAT_GET_LOST = {
    "empty": ("daisy rose", "tulip/", NO_PHOTO),
    "empty in a wrapping folder": ("flowers/daisy", "flowers/tulip/old/", NO_PHOTO),
    "only skipped": ("daisy rose", "tulip/Thumbs.db tulip/readme.txt tulip/.1.jpg", NO_PHOTO),
    "beside a wrapping folder": ("flowers/daisy flowers/rose", "tulip/", NO_PHOTO),
    "broken link": ("daisy rose", "peony/1.jpg->gone.jpg", r"'peony' \(1 link_broken\); add"),
    "dotted link": ("daisy rose", "v1.lily->/nowhere", r"no photos in 'v1\.lily' \(1 link_outside"),
    "links outside": (
        "daisy tulip",
        OUTSIDE,
        r"no photos in 'rose' \(10 link_outside\); .* `cp -rL` copies the files that links lead to",
    ),
    "linked folder": ("daisy tulip", "rose->daisy", "links to folders .*: rose; put the folders"),
    "linked folder in a class": (
        "daisy tulip",
        "tulip/more->../daisy",
        "links to folders are not followed: tulip/more; put the folders in their place",
    ),
    "ignored by DVC": ("daisy rose", "rosa.orig/1.jpg", r"the folder 'rosa\.orig' has a name that"),
    "ignored in a class": ("daisy rose", "daisy/old~/1.jpg", "the folder 'daisy/old~' has a name"),
}


@pytest.mark.parametrize(
    ("clean", "names", "message"), CLASSES_THAT_GET_LOST.values(), ids=CLASSES_THAT_GET_LOST
)
def test_a_class_that_would_get_lost_is_named(tmp_path: Path, packed, clean, names, message):
    plant_clean(tmp_path / "elsewhere", ("rose",))
    plant_clean(tmp_path / "photos", tuple(clean.split()))
    plant_tree(tmp_path / "photos", names)
    source = packed(tmp_path / "photos")
    with pytest.raises(UserError, match=message) as refused:
        listed(source)
    assert str(refused.value).startswith(f"{source}: ")


@pytest.mark.parametrize("link", ["rose->../elsewhere/rose", "tulip/more->../../elsewhere/rose"])
def test_a_link_to_a_folder_outside_is_an_error_that_names_it(tmp_path: Path, link: str):
    """It could stand for any number of photos, so it never counts as one that is rejected."""
    plant_clean(tmp_path / "elsewhere", ("rose",))
    plant_clean(tmp_path / "photos", ("daisy", "tulip"))
    plant_tree(tmp_path / "photos", link)
    name = link.partition("->")[0]
    with pytest.raises(UserError, match=f"links to folders are not followed: {name}; put the"):
        listed(tmp_path / "photos")


@pytest.mark.parametrize("suffix", ARCHIVES)
def test_a_link_out_of_an_archive_may_be_a_class_and_is_named(tmp_path: Path, suffix: str):
    plant_clean(tmp_path / "elsewhere", ("rose",))
    plant_clean(tmp_path / "photos", ("daisy", "tulip"))
    plant_tree(tmp_path / "photos", "rose->../elsewhere/rose")
    with pytest.raises(UserError, match=r"no photos in 'rose' \(1 link_outside\)"):
        listed(pack(tmp_path / "photos", tmp_path / f"photos{suffix}"))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("", "no class folder"),
        ("stray.jpg", "no class folder"),
        ("daisy/1.jpg", "only 'daisy'"),
        ("Rose/1.jpg rose/1.jpg", "'Rose' and 'rose'"),
        ("caf\u00e9/1.jpg cafe\u0301/1.jpg", r"'cafe\\u0301' and 'caf\\xe9'"),
        ("stra\u00dfe/1.jpg strasse/1.jpg", r"'strasse' and 'stra\\xdfe'"),
    ],
)
def test_folders_that_make_no_classes_are_an_error(tmp_path: Path, names: str, message: str):
    plant_tree(tmp_path, names)
    with pytest.raises(UserError, match=message) as refused:
        listed(tmp_path)
    assert str(refused.value).startswith(f"{tmp_path}: ")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gone", r"data\.photos: .*gone not found; it must be a folder or a .*\.tgz"),
        ("photos.rar", r"data\.photos must be a folder or a \.tar.*photos\.rar"),
        ("a" * 300, r"data\.photos: .* File name too long; it must be a folder"),
        ("a\0b", r"data\.photos: .*a\\x00b cannot be a path; it must be"),
    ],
)
def test_what_is_no_source_says_what_is_allowed(tmp_path: Path, name: str, message: str):
    (tmp_path / "photos.rar").write_bytes(b"Rar!")
    with pytest.raises(UserError, match=message):
        listed(tmp_path / name)


def test_a_folder_that_cannot_be_listed_is_named(tmp_path: Path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("stages.prepare.sources.os.scandir", refuse)
    with pytest.raises(UserError, match=f"^{tmp_path}: cannot be listed: Permission denied"):
        listed(tmp_path)


# backslashes


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

    rejected = listed(repacked(tmp_path / "p.zip", rename)).rejected
    assert [(one.path, one.reason) for one in rejected] == [("../evil.jpg", "unsafe_name")]


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
def test_a_backslash_beside_slashes_is_a_letter_and_the_reason_says_so(tmp_path: Path, suffix):
    names = {"daisy/000.jpg": "daisy\\000.jpg", "daisy/001.jpg": "daisy/a\\b.jpg"}
    listing = listed(repacked(tmp_path / f"p{suffix}", lambda name: names.get(name, name)))
    reason = "not in a class folder; a backslash does not part folders here"
    assert [(one.path, one.reason, one.detail) for one in listing.rejected] == [
        ("daisy\\000.jpg", "no_class", reason)
    ]
    assert "daisy/a\\b.jpg" in [one.path for one in listing.candidates]


# members of archives


def with_member(archive: Path, name: str, content: bytes = b"", **fields: object) -> Path:
    """Pack clean photos as a .tar, and add a member."""
    plant_clean(archive.parent / "photos")
    pack(archive.parent / "photos", archive)
    add_member(archive, name, content, **fields)
    return archive


def add_member(archive: Path, name: str, content: bytes = b"", **fields: object) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    for field, value in fields.items():
        setattr(member, field, value)
    with tarfile.open(archive, "a") as file:
        file.addfile(member, io.BytesIO(content))


@pytest.mark.parametrize(
    ("name", "fields", "reason"),
    [
        ("../evil.jpg", {}, "unsafe_name"),
        ("daisy/../../evil.jpg", {}, "unsafe_name"),
        ("x/../daisy/000.jpg", {}, "unsafe_name"),
        ("/tmp/evil.jpg", {}, "unsafe_name"),
        ("daisy/null.jpg", {"type": tarfile.CHRTYPE}, "special_file"),
        ("daisy/disk.jpg", {"type": tarfile.BLKTYPE}, "special_file"),
        ("daisy/out.jpg", {"type": tarfile.SYMTYPE, "linkname": "../../x"}, "link_outside"),
        ("daisy/out.jpg", {"type": tarfile.LNKTYPE, "linkname": "/etc/passwd"}, "link_outside"),
        ("daisy/self.jpg", {"type": tarfile.SYMTYPE, "linkname": "self.jpg"}, "link_loop"),
    ],
)
def test_what_leads_out_of_an_archive_is_rejected_by_name(tmp_path, name, fields, reason):
    listing = listed(with_member(tmp_path / "photos.tar", name, **fields))
    assert [(item.path, item.reason) for item in listing.rejected] == [(name, reason)]
    assert len(listing.candidates) == 20


def test_a_hard_link_in_an_archive_is_the_file(tmp_path: Path):
    archive = with_member(
        tmp_path / "p.tar", "daisy/hard.jpg", type=tarfile.LNKTYPE, linkname="daisy/000.jpg"
    )
    assert prepared(archive, tmp_path / "store").rejected.values.tolist() == [
        ["daisy/hard.jpg", "duplicate", "same pixels as daisy/000.jpg"]
    ]


def test_of_two_members_with_one_name_the_later_counts(tmp_path: Path):
    later = jpeg(5, comment=b"later")
    archive = with_member(tmp_path / "p.tar", "daisy/000.jpg", later)
    assert len(prepared(archive, tmp_path / "store").accepted) == 20
    (tmp_path / "photos/daisy/000.jpg").write_bytes(later)
    prepared(tmp_path / "photos", tmp_path / "expected")
    assert content(tmp_path / "store") == content(tmp_path / "expected")


def test_what_gnu_tar_adds_is_no_photo(tmp_path: Path):
    """A volume's label, a folder's dump, and a second mention of a file: a link to itself."""
    archive = with_member(tmp_path / "photos.tar", "2024", type=b"V")
    add_member(archive, "daisy", type=b"D")
    add_member(archive, "daisy/000.jpg", type=tarfile.LNKTYPE, linkname="./daisy/000.jpg")
    listing, plain = listed(archive), listed(tmp_path / "photos")
    assert [one.path for one in listing.candidates] == [one.path for one in plain.candidates]
    assert all(one.entry.kind == "file" for one in listing.candidates)
    assert (listing.rejected, listing.skipped) == ([], 0)


def test_a_damaged_zip_member_is_rejected(tmp_path: Path):
    plant_clean(tmp_path / "photos")
    archive = tmp_path / "photos.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted((tmp_path / "photos").rglob("*.jpg")):
            file.write(path, path.relative_to(tmp_path / "photos"))
    archive.write_bytes(flip(archive.read_bytes(), 500))
    outcome = prepared(archive, tmp_path / "store")
    assert outcome.rejected["reason"].tolist() == ["damaged"]
    assert "CRC" in outcome.rejected["detail"][0]


def test_an_encrypted_zip_member_is_rejected(tmp_path: Path):
    plant_clean(tmp_path / "photos")
    archive = pack(tmp_path / "photos", tmp_path / "photos.zip")
    whole = archive.read_bytes()
    first = whole.index(b"PK\1\2")
    while b"daisy/000.jpg" not in whole[first : first + 70]:
        first = whole.index(b"PK\1\2", first + 1)
    (local,) = struct.unpack_from("<I", whole, first + 42)
    archive.write_bytes(flip(flip(whole, first + 8), local + 6))
    outcome = prepared(archive, tmp_path / "store")
    assert outcome.rejected.values.tolist() == [
        ["daisy/000.jpg", "unreadable_file", "is encrypted"]
    ]


def test_names_in_utf_8_without_a_flag_are_read_as_utf_8(tmp_path: Path):
    plant_clean(tmp_path / "photos", ("daisy", "rosé"), 3)
    archive = pack(tmp_path / "photos", tmp_path / "photos.zip")
    content = archive.read_bytes()
    content = content.replace(b"PK\3\4\x14\0\0\x08", b"PK\3\4\x14\0\0\0")
    content = content.replace(b"PK\1\2\x14\x03\x14\0\0\x08", b"PK\1\2\x14\x03\x14\0\0\0")
    archive.write_bytes(content)
    with zipfile.ZipFile(archive) as file:
        assert not any(member.flag_bits & 0x800 for member in file.infolist())
    assert listed(archive).classes == ["daisy", "rosé"]
    assert listed(archive).notes == []


def test_names_of_an_unknown_coding_are_named(tmp_path: Path):
    plant_clean(tmp_path / "photos", ("daisy", "ros__"), 3)
    archive = pack(tmp_path / "photos", tmp_path / "photos.zip")
    latin = "rosé_".encode("latin-1")
    archive.write_bytes(archive.read_bytes().replace(b"ros__", latin))
    found = listed(archive)
    assert found.classes == ["daisy", "rosΘ_"]
    assert found.notes == [
        "the archive does not say how names are coded; zip again in UTF-8 if wrong: 'rosΘ_'"
    ]


# damaged archives


def flip(content: bytes, at: int, bit: int = 1) -> bytes:
    return content[:at] + bytes([content[at] ^ bit]) + content[at + 1 :]


def cut_in_three_parts(whole: bytes) -> list[bytes]:
    return [whole[: int(part * len(whole))] for part in (0, 0.3, 0.6)]


def cut_anywhere(whole: bytes) -> list[bytes]:
    end = len(whole.rstrip(b"\0"))
    return [whole[:length] for length in [*range(0, end, 512), *range(100, end, 2000)]]


def flipped_headers(whole: bytes) -> Iterator[bytes]:
    with tarfile.open(fileobj=io.BytesIO(whole)) as archive:
        headers = [member.offset for member in archive]
    for header in headers:
        for byte in (0, 100, 124, 148, 156, 257):  # name, mode, size, checksum, kind, magic
            yield flip(whole, header + byte)


def short_directories(whole: bytes) -> Iterator[bytes]:
    """Take the last member out of a zip's directory, and its number from either count."""
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        start, members = archive.start_dir, archive.infolist()
    size = 46 + len(members[-1].filename.encode()) + len(members[-1].extra)
    directory, end = whole[start:-22], whole[-22:]
    fewer, rest = struct.pack("<H", len(members) - 1), struct.pack("<I", len(directory) - size)
    yield whole[:start] + directory[:-size] + end[:8] + fewer * 2 + rest + end[16:]
    yield whole[:start] + directory[:-size] + end[:12] + rest + end[16:]


def endless_names(_: bytes) -> list[bytes]:
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 5
    block = header.tobuf(tarfile.GNU_FORMAT) + b"name\0".ljust(512, b"\0")
    return [block * 5000 + bytes(1024)]


def senseless_size(_: bytes) -> list[bytes]:
    header = tarfile.TarInfo("daisy/1.jpg")
    header.size = 2**62
    return [header.tobuf(tarfile.GNU_FORMAT) + bytes(2048)]


def joined_or_padded(whole: bytes) -> list[bytes]:
    return [whole + whole, whole + b"junk", b"junk" + whole, whole + bytes(3000)]


@pytest.mark.parametrize(
    ("suffix", "damage", "message"),
    [
        *((suffix, cut_in_three_parts, "") for suffix in ARCHIVES),
        (".tar", cut_anywhere, ""),
        (".tar", flipped_headers, ""),
        (".tgz", lambda whole: [flip(whole, len(whole) // 2, 4)], ""),
        (".tar", lambda whole: [whole + whole], "or another archive is joined to it"),
        (".tgz", lambda whole: [whole + whole], "or another archive is joined to it"),
        (".zip", joined_or_padded, "(follows its end|precedes it)"),
        (".tar", senseless_size, ""),
        (".tar", endless_names, "its headers have no end"),
        (".zip", short_directories, r"(says that it has \d+ members, and lists|not in its direc)"),
    ],
)
def test_a_damaged_archive_is_an_error(tmp_path: Path, suffix: str, damage, message: str):
    plant_clean(tmp_path / "photos", count=2)
    archive = pack(tmp_path / "photos", tmp_path / f"photos{suffix}")
    assert listed(archive).classes == ["daisy", "rose"]
    for damaged in damage(archive.read_bytes()):
        archive.write_bytes(damaged)
        with pytest.raises(UserError, match=f"{message}.*; fetch it again$") as refused:
            listed(archive)
        assert str(refused.value).startswith(
            f"{archive}: is not an archive that can be read to its end: "
        )


def test_a_zip_with_any_wrong_byte_is_read_or_refused(tmp_path: Path):
    archive = tmp_path / "photos.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for name in ("daisy/1.jpg", "rose/\N{LATIN SMALL LETTER E WITH ACUTE}.jpg"):
            file.writestr(name, b"photo")
    whole = archive.read_bytes()
    for at in range(len(whole)):
        for bit in (0x01, 0x08, 0x80):
            archive.write_bytes(flip(whole, at, bit))
            with contextlib.suppress(UserError):
                listing = listed(archive)
                list(listing.source.contents({one.entry for one in listing.candidates}))
