"""Every kind of dirt ends as promised."""

from pathlib import Path

import pytest

from stages.common.names import printable_name
from stages.prepare.stage import Outcome, prepare_store
from tests.hazards import HAZARDS, Hazard, plant, plant_clean, settings


@pytest.fixture(scope="module")
def outcome(tmp_path_factory) -> Outcome:
    root: Path = tmp_path_factory.mktemp("hazards")
    plant_clean(root / "photos")
    plant(root / "photos", HAZARDS)
    (root / "secret.jpg").write_bytes(b"not for the store")
    (root / "store").mkdir()
    return prepare_store(root / "photos", settings(), root / "store", workers=2)


def test_there_are_at_least_35_kinds_of_dirt():
    assert len({hazard.path for hazard in HAZARDS}) == len(HAZARDS) >= 35


@pytest.mark.parametrize("hazard", HAZARDS, ids=lambda hazard: ascii(hazard.path))
def test_hazard_ends_as_promised(outcome: Outcome, hazard: Hazard):
    path = printable_name(hazard.path)
    accepted = path in set(outcome.accepted["path"])
    reasons = outcome.rejected.loc[outcome.rejected["path"] == path, "reason"].tolist()
    if hazard.outcome == "accepted":
        assert (accepted, reasons) == (True, [])
    elif hazard.outcome == "skipped":
        assert (accepted, reasons) == (False, [])
    else:
        assert (accepted, reasons) == (False, [hazard.outcome])


def test_every_file_is_accounted_for(outcome: Outcome):
    clean = 20
    ends = [hazard.outcome for hazard in HAZARDS]
    assert outcome.skipped == ends.count("skipped")
    assert len(outcome.accepted) == clean + ends.count("accepted")
    assert len(outcome.accepted) + len(outcome.rejected) + outcome.skipped == clean + len(HAZARDS)
