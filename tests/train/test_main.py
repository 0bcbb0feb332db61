import pytest

from stages.common.errors import UserError
from stages.train.__main__ import is_fresh


@pytest.mark.parametrize(
    ("value", "fresh"), [(None, False), ("", False), ("0", False), ("1", True)]
)
def test_only_1_asks_for_a_fresh_start(
    monkeypatch: pytest.MonkeyPatch, value: str | None, fresh: bool
) -> None:
    monkeypatch.delenv("FLOWERBED_FRESH", raising=False)
    if value is not None:
        monkeypatch.setenv("FLOWERBED_FRESH", value)
    assert is_fresh() is fresh


def test_another_value_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOWERBED_FRESH", "yes")
    with pytest.raises(
        UserError, match=r"FLOWERBED_FRESH must be 0, to resume, or 1, .* got 'yes'"
    ):
        is_fresh()
