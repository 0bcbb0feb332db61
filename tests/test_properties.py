"""What holds for any input: of the parameters, the split, the metrics, checkpoints and formats.

Each property is tried on 100 inputs, the same ones every time; on many more, and new ones, with
``pytest --hypothesis-profile=thorough tests/test_properties.py``.
"""

import contextlib
import hashlib
import io
import json
import re
import string
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.metrics import f1_score, log_loss
from torch.nn import functional as F

import stages.evaluate.__main__ as evaluate
import stages.prepare.__main__ as prepare
import stages.train.__main__ as train
from stages.common.errors import UserError, run_stage
from stages.common.names import printable_name
from stages.common.params import load_params
from stages.common.store import SPLITS, open_store
from stages.common.yaml12 import YamlError, parse_yaml
from stages.evaluate.calibration import bin_by_confidence, calibration_error, choose_threshold
from stages.evaluate.metrics import measure
from stages.model.classifier import average, temper
from stages.prepare.array import ArrayFile
from stages.prepare.split import assign_splits
from stages.prepare.writing import write_store
from stages.train.checkpoints import Checkpoints
from stages.train.data import split_into_batches
from stages.train.optimizer import orthogonalize
from stages.train.schedule import draw_order, image_sizes, warmup_cosine
from tests import hazards
from tests.conftest import PARAMS
from tools.report.comparison import mcnemar_exact

DEFAULTS: dict[str, dict[str, Any]] = yaml.safe_load(PARAMS.read_text())
TEXT = PARAMS.read_text()

# Parameters


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["auto", "none", "cpu", "fp32", "bf16", "keep", 0, 1, 0.5, -1]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@given(st.data())
def test_any_value_of_any_parameter_is_taken_or_named(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    section = data.draw(st.sampled_from(sorted(DEFAULTS)))
    key = data.draw(st.sampled_from(sorted(DEFAULTS[section])))
    content = {**DEFAULTS, section: {**DEFAULTS[section], key: data.draw(values)}}
    path = tmp_path_factory.getbasetemp() / "params.yaml"
    path.write_text(json.dumps(content), encoding="utf-8")
    lines: list[str] = []
    try:
        params = load_params(path)
        path.write_text(json.dumps(params.model_dump()), encoding="utf-8")
        assert load_params(path) == params
    except UserError as error:
        lines = str(error).splitlines()
    assert all(line.startswith(f"{path}: ") for line in lines)
    assert all(len(line) < len(str(path)) + 400 for line in lines)
    assert not lines or key in str(lines) or "YAML" in lines[0]


ODD = [*"[]{}:,&*!-\n\t #'\"|>%@`\\?=~\0\x85\u2028\ufeff", "é", "9" * 5000, "[" * 900, ":" * 1000]
ODD += ["1e999", ".nan", "-.inf", "0x", "0o9", "1_0", "null", "yes", "2020-01-01", "<<: ", "---\n"]
ODD += ["!!python/object/apply:os.system [true]", "&a [*a, *a]", "12:30:45", "1e-400", "{a: " * 300]


@st.composite
def edited(draw: st.DrawFn) -> str:
    """Return params.yaml after a few edits: something odd put in, cut out, or as a value."""
    text = TEXT
    for _ in range(draw(st.integers(1, 4))):
        begin = draw(st.integers(0, len(text)))
        end = min(len(text), begin + draw(st.sampled_from([0, 0, 1, 10, 100])))
        if draw(st.booleans()):  # the rest of a line: a value, mostly
            begin = text.find(":", begin) + 1
            end = max(begin, text.find("\n", begin))
        text = text[:begin] + draw(st.sampled_from(ODD) | st.text(max_size=3)) + text[end:]
    return text


@given(edited(), st.sampled_from([prepare, train, evaluate]))
def test_an_edited_parameter_file_ends_in_a_line_and_an_exit_code(
    tmp_path_factory: pytest.TempPathFactory, text: str, stage: Any
) -> None:
    """The folder holds nothing else, so no edit makes a stage succeed."""
    folder = tmp_path_factory.getbasetemp() / "edited"
    folder.mkdir(exist_ok=True)
    (folder / "params.yaml").write_bytes(text.encode("utf-8", "surrogatepass"))
    printed = io.StringIO()
    with (
        patch.object(prepare, "run_module", side_effect=UserError("the garden is not drawn here")),
        contextlib.chdir(folder),
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(printed),
        pytest.raises(SystemExit) as ended,
    ):
        run_stage(stage.main)
    message = str(ended.value.code)
    assert 10 < len(message) < 20_000
    assert all(line.isprintable() and len(line) < 700 for line in message.splitlines())
    assert [path.name for path in folder.rglob("*") if path.is_file()] == ["params.yaml"]


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**90), 10**90)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(string.printable, max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(string.ascii_letters), inner)
    ),
)


@given(plain)
def test_json_which_is_yaml_is_read_as_it_is(value: object) -> None:
    assert parse_yaml(json.dumps(value)) == value


@given(st.text(max_size=200) | st.text("[]{}:,&*!- \n'\"|>", max_size=60))
def test_any_text_is_read_or_refused_in_a_line(text: str) -> None:
    message = ""
    try:
        parse_yaml(text)
    except YamlError as error:
        message = str(error)
    assert len(message.splitlines()) <= 1
    assert len(message) < 300


@given(st.text())
def test_a_printable_name_is_printable_and_stays(name: str) -> None:
    shown = printable_name(name)
    assert shown.isprintable()
    assert printable_name(shown) == shown


# The split


@st.composite
def collections(draw: st.DrawFn) -> pd.DataFrame:
    """Return photos of a few classes, some of them in groups, a class or two in one group."""
    rows = []
    for number in range(draw(st.integers(1, 4))):
        for group in range(draw(st.integers(3, 25))):
            for photo in range(draw(st.sampled_from([1, 1, 1, 2, 3]))):
                rows.append((f"class {number}", f"{number} {group}", f"{number} {group} {photo}"))
    table = pd.DataFrame(rows, columns=["class", "group", "content_key"])
    table["content_key"] = [hashlib.sha256(k.encode()).hexdigest() for k in table["content_key"]]
    table["group"] = table.groupby("group")["content_key"].transform("min")
    return table.assign(given="", source="")


fractions = st.integers(1, 45).map(lambda percent: percent / 100)


@given(collections(), fractions, fractions, st.integers(0, 2**32 - 1))
def test_a_split_is_stratified_grouped_and_blind_to_the_order(
    photos: pd.DataFrame, test: float, validation: float, seed: int
) -> None:
    wanted = hazards.settings(seed=seed, test_fraction=test, validation_fraction=validation)
    splits = assign_splits(photos, wanted)
    assert set(splits) == {"train", "validation", "test"}
    assert (splits.groupby(photos["group"]).nunique() == 1).all()
    named = photos.sort_values("content_key").groupby("group")["class"].transform("first")
    for _, rows in photos.groupby(named):
        found = splits[rows.index].value_counts()
        largest = rows["group"].value_counts().iloc[0]
        for name, share in (("test", test), ("validation", validation)):
            # Rounded to whole groups, at least one or two for each, and for each later split.
            exact = share * len(rows)
            assert max(1, exact - 2 * largest) <= found[name] <= exact + 2 * largest
    shuffled = photos.sample(frac=1, random_state=seed % 1000)
    assert assign_splits(shuffled, wanted).sort_index().equals(splits.sort_index())


@given(collections(), st.integers(2, 5), st.integers(0, 1000))
def test_folds_test_every_photo_once(photos: pd.DataFrame, folds: int, seed: int) -> None:
    smallest = photos.drop_duplicates("group")["class"].value_counts().min()
    assume(smallest >= max(3, folds, 4 if folds == 2 else 0))
    tested = []
    for fold in range(folds):
        wanted = hazards.settings(
            seed=seed, fold=fold, test_fraction=1 / folds, validation_fraction=0.1
        )
        splits = assign_splits(photos, wanted)
        assert (splits.groupby(photos["group"]).nunique() == 1).all()
        tested += photos.loc[splits == "test", "content_key"].tolist()
    assert sorted(tested) == sorted(photos["content_key"])


@given(collections(), st.integers(0, 1000))
def test_a_new_photo_moves_none_between_train_and_test(photos: pd.DataFrame, seed: int) -> None:
    keys = [hashlib.sha256(f"new {seed}".encode()).hexdigest()]
    new = pd.DataFrame({"class": "class 0", "group": keys, "content_key": keys, "given": ""})
    new["source"] = ""
    wanted = hazards.settings(seed=seed)
    before = assign_splits(photos, wanted)
    after = assign_splits(pd.concat([photos, new], ignore_index=True), wanted)[before.index]
    assert not {("test", "train"), ("train", "test")} & set(zip(before, after, strict=True))


# Metrics


@st.composite
def predictions(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Return labels of N photos, and their probabilities of K classes."""
    classes, photos = draw(st.integers(2, 7)), draw(st.integers(1, 40))
    labels = draw(arrays.arrays(np.int64, photos, elements=st.integers(0, classes - 1)))
    raw = draw(arrays.arrays(float, (photos, classes), elements=st.floats(0.001, 1)))
    return labels, raw / raw.sum(axis=1, keepdims=True)


@given(predictions(), st.integers(0, 1000))
def test_metrics_agree_with_their_definitions_and_ignore_the_order(
    found: tuple[np.ndarray, np.ndarray], seed: int
) -> None:
    labels, probabilities = found
    classes = [f"c{number}" for number in range(probabilities.shape[1])]
    figures = measure(labels, probabilities, classes, labels)
    predicted = probabilities.argmax(axis=1)
    assert figures["accuracy"] == round(float((predicted == labels).mean()), 4)
    assert figures["accuracy_low"] <= figures["accuracy"] <= figures["accuracy_high"]
    one_hot = np.eye(len(classes))[labels]
    brier = ((probabilities - one_hot) ** 2).sum(axis=1).mean()
    assert figures["brier_score"] == pytest.approx(brier, abs=1e-4)
    loss = log_loss(labels, probabilities, labels=range(len(classes)))
    assert figures["log_loss"] == pytest.approx(loss, abs=1e-4)
    present = sorted(set(labels))
    for number in present:
        f1 = f1_score(labels == number, predicted == number)
        assert figures["classes"][classes[number]]["f1"] == pytest.approx(f1, abs=1e-4)
    order = np.random.default_rng(seed).permutation(len(labels))
    again = measure(labels[order], probabilities[order], classes, labels)
    for name in ("accuracy", "macro_f1", "classes", "images"):
        assert again[name] == figures[name]
    assert again["log_loss"] == pytest.approx(figures["log_loss"], abs=1.1e-4)


@given(predictions(), st.floats(0.1, 10), st.floats(0.05, 1))
def test_calibration_keeps_the_answers(
    found: tuple[np.ndarray, np.ndarray], temperature: float, share: float
) -> None:
    labels, probabilities = found
    tempered = temper(probabilities, temperature)
    np.testing.assert_allclose(tempered.sum(axis=1), 1)
    best = probabilities.max(axis=1)
    at_best = np.take_along_axis(tempered, probabilities.argmax(axis=1)[:, None], 1)[:, 0]
    np.testing.assert_allclose(at_best, tempered.max(axis=1))
    np.testing.assert_allclose(temper(tempered, 1 / temperature), probabilities, rtol=1e-6)
    assert 0 <= calibration_error(bin_by_confidence(labels, tempered)) <= 1
    threshold = choose_threshold(best, share)
    assert (best >= threshold).mean() >= share - 1e-9


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_a_probability_that_knows_no_side(lost: int, gained: int) -> None:
    p = mcnemar_exact(lost, gained)
    assert 0 < p <= 1
    assert p == mcnemar_exact(gained, lost)
    if lost == gained:
        assert p == 1


# Training


@given(st.integers(1, 300), st.integers(1, 64), st.integers(1, 4), st.integers(0, 99))
def test_batches_hold_every_photo_once(photos: int, size: int, smallest: int, seed: int) -> None:
    order = draw_order(seed, 1, photos)
    batches = split_into_batches(order, size, smallest)
    assert np.concatenate(batches).tolist() == order.tolist()
    assert sorted(order) == list(range(photos))
    assert all(len(batch) >= min(smallest, size, photos) for batch in batches)
    assert all(len(batch) < size + smallest for batch in batches)


@given(st.integers(16, 300), st.integers(16, 300), st.integers(1, 60))
def test_images_never_shrink_and_end_below_the_full_size(
    first: int, full: int, epochs: int
) -> None:
    sizes = image_sizes(first, full, epochs)
    assert len(sizes) == epochs
    assert sizes == sorted(sizes)
    assert sizes[-1] <= full
    assert sizes[0] == first or first >= full or epochs == 1


@given(st.integers(1, 500), st.floats(0, 0.99))
def test_the_rate_rises_then_falls(steps: int, warmup: float) -> None:
    rates = [warmup_cosine(step, warmup * steps, steps) for step in range(steps)]
    assert all(0 <= rate <= 1 for rate in rates)
    top = rates.index(max(rates))
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)


@given(
    *(st.integers(1, 24), st.integers(1, 24), st.integers(1, 24)),
    *(st.integers(0, 99), st.floats(0.001, 1000)),
)
def test_orthogonalize_knows_no_scale_and_bears_any_rank(
    rows: int, columns: int, rank: int, seed: int, scale: float
) -> None:
    random = torch.Generator().manual_seed(seed)
    left, right = (torch.randn(side, rank, generator=random) for side in (rows, columns))
    matrix = left @ right.T
    (found,) = orthogonalize([matrix])
    assert found.shape == matrix.shape
    assert torch.linalg.svdvals(found).max() < 1.3
    torch.testing.assert_close(orthogonalize([scale * matrix])[0], found, rtol=1e-2, atol=1e-2)


@given(arrays.arrays(np.float32, (3, 4, 2), elements=st.floats(-30, 30, width=32)))
def test_an_average_of_views_lies_between_them(logits: np.ndarray) -> None:
    views = [torch.from_numpy(view.copy()) for view in logits]
    each = torch.stack([F.softmax(view, dim=1) for view in views])
    mean = average(views)
    assert (mean >= each.amin(dim=0) - 1e-6).all()
    assert (mean <= each.amax(dim=0) + 1e-6).all()
    torch.testing.assert_close(mean.sum(dim=1), torch.ones(4))


names = st.text(min_size=1, max_size=8).map(printable_name)


@st.composite
def stores(draw: st.DrawFn) -> tuple[pd.DataFrame, np.ndarray]:
    """Return accepted photos, and the squares that were decoded, accepted or not."""
    classes = sorted(draw(st.lists(names, min_size=2, max_size=4, unique=True)))
    splits = [*SPLITS, *draw(st.lists(st.sampled_from(SPLITS), max_size=5))]
    side = draw(st.integers(1, 3))
    decoded = len(splits) + draw(st.integers(0, 4))
    squares = draw(arrays.arrays(np.uint8, (decoded, side, side, 3)))
    kept = sorted(draw(st.permutations(range(decoded)))[: len(splits)])
    photos = pd.DataFrame({"split": splits, "number": kept, "width": 40, "height": 30})
    others = [draw(st.sampled_from(classes)) for _ in splits[2:]]
    photos["class"] = [*classes[:2], *others]
    photos["path"] = [f"{draw(names)}/{number}" for number in kept]
    photos["group"] = photos["sha256"] = [
        hashlib.sha256(square).hexdigest() for square in squares[kept]
    ]
    pixels = squares[kept].reshape(len(kept), -1, 3).astype(np.int64)
    photos["sums"], photos["squares"] = pixels.sum(1).tolist(), (pixels**2).sum(1).tolist()
    return photos, squares


@given(stores(), st.sampled_from(["images.npy", "manifest.csv", "meta.json"]), st.integers(0))
def test_a_store_is_read_as_it_was_written_or_refused(
    tmp_path_factory: pytest.TempPathFactory,
    stored: tuple[pd.DataFrame, np.ndarray],
    damaged: str,
    place: int,
) -> None:
    photos, squares = stored
    folder = Path(tmp_path_factory.getbasetemp(), "store")
    folder.mkdir(exist_ok=True)
    array = ArrayFile(folder / "images.npy", squares.shape[1])
    array.reserve(len(squares))
    with array.open_for_writing() as file:
        for row in np.random.default_rng(place).permutation(len(squares)):
            array.write(file, row, squares[row].tobytes())
    write_store(
        folder, array, photos, pd.DataFrame(), pd.DataFrame({"number": []}), hazards.settings()
    )
    store = open_store(folder)
    assert np.array_equal(store.images, squares[photos["number"]])
    for column in ("path", "class", "split", "sha256"):
        assert store.manifest[column].tolist() == photos[column].tolist()
    assert [store.meta.classes[label] for label in store.labels] == photos["class"].tolist()
    train_pixels = squares[photos["number"]][photos["split"] == "train"].reshape(-1, 3) / 255
    np.testing.assert_allclose(store.meta.mean, train_pixels.mean(0), atol=1e-12)
    np.testing.assert_allclose(store.meta.std, np.maximum(train_pixels.std(0), 1 / 255), atol=1e-7)

    content = bytearray((folder / damaged).read_bytes())
    content[place // 8 % len(content)] ^= 1 << place % 8
    (folder / damaged).write_bytes(content)
    if damaged != "meta.json":
        with pytest.raises(UserError):
            open_store(folder)
        return
    with contextlib.suppress(UserError):  # else nothing but white space is another
        assert open_store(folder).meta == store.meta


states = st.dictionaries(
    st.text(string.ascii_lowercase, min_size=1, max_size=8),
    st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=8)
    | arrays.arrays(np.float32, st.integers(0, 20)).map(torch.from_numpy),
    max_size=5,
)


@given(states, states, st.integers(0), st.integers(0, 7))
def test_a_checkpoint_is_read_as_it_was_written_or_not_at_all(
    tmp_path_factory: pytest.TempPathFactory,
    first: dict[str, Any],
    second: dict[str, Any],
    place: int,
    bit: int,
) -> None:
    root = Path(tmp_path_factory.getbasetemp(), "checkpoints")
    checkpoints = Checkpoints(root, {"of": "this"})
    checkpoints.clear()
    checkpoints.folder.mkdir(parents=True, exist_ok=True)
    checkpoints.save(first)
    checkpoints.save(second)
    assert same(checkpoints.load(), second)
    newest = checkpoints.folder / "checkpoint"
    content = bytearray(newest.read_bytes())
    content[place % len(content)] ^= 1 << bit
    newest.write_bytes(content)
    with contextlib.redirect_stderr(io.StringIO()) as told:
        assert same(checkpoints.load(), first)
    assert re.search("is not used: its digest", told.getvalue())


def same(found: dict[str, Any] | None, expected: dict[str, Any]) -> bool:
    """Tell whether two states are equal, where NaN is NaN."""
    assert found is not None
    return found.keys() == expected.keys() and all(
        torch.equal(found[key].nan_to_num(7), value.nan_to_num(7))
        if isinstance(value, torch.Tensor)
        else found[key] == value
        for key, value in expected.items()
    )
