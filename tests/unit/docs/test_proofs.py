"""docs/model-safety.md names tests as its proof; a test that was renamed must not leave it without one."""

import re

import pytest

from tests.conftest import ROOT

ROWS = [line for line in (ROOT / "docs" / "model-safety.md").read_text().splitlines() if "`" in line and "|" in line]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip()[:40])
def test_what_is_named_is_there(row: str) -> None:
    names = re.findall(r"`([^`]*)`", row.split("|")[3])
    assert names
    file = ROOT
    for name in names:
        path, _, test = name.partition("::")
        if path:
            file = ROOT / path if "/" in path else ROOT / "tests" / "unit" / "store" / path
        assert file.is_file(), name
        assert not test or f"def {test}(" in file.read_text(), name
