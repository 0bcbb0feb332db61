"""Every kind of dirt ends as promised."""

from pathlib import Path

import pytest

from stages.common.names import printable_name
from stages.prepare.stage import Outcome
from tests.hazards import HAZARDS, Hazard, plant, plant_clean
from tests.prepare.stores import prepared


@pytest.fixture(scope="module")
def outcome(tmp_path_factory) -> Outcome:
    root: Path = tmp_path_factory.mktemp("hazards")
    plant_clean(root / "photos")
    plant(root / "photos", HAZARDS)
    (root / "secret.jpg").write_bytes(b"not for the store")
    return prepared(root / "photos", root / "store", workers=2)


def test_no_two_hazards_have_one_path():
    assert len({hazard.path for hazard in HAZARDS}) == len(HAZARDS)


@pytest.mark.parametrize("hazard", HAZARDS, ids=lambda hazard: ascii(hazard.path))
def test_hazard_ends_as_promised(outcome: Outcome, hazard: Hazard):
    path = printable_name(hazard.path)
    accepted = path in set(outcome.accepted["path"])
    reasons = outcome.rejected.loc[outcome.rejected["path"] == path, "reason"].tolist()
    assert accepted == (hazard.outcome == "accepted")
    assert reasons == ([] if hazard.outcome in ("accepted", "skipped") else [hazard.outcome])


def test_every_file_is_accounted_for(outcome: Outcome):
    clean = 20
    ends = [hazard.outcome for hazard in HAZARDS]
    assert outcome.skipped == ends.count("skipped")
    assert len(outcome.accepted) == clean + ends.count("accepted")
    assert len(outcome.accepted) + len(outcome.rejected) + outcome.skipped == clean + len(HAZARDS)
