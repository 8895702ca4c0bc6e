"""Pages that name tests as their proof; a test that was renamed must not leave them without one."""

import re

import pytest

from tests.conftest import ROOT

PAGES = ("model-safety.md", "job-failures.md")
ROWS = [
    line
    for page in PAGES
    for line in (ROOT / "docs" / page).read_text().splitlines()
    if line.startswith("|") and "`" in line.split("|")[3]
]


def test_the_pages_have_rows() -> None:
    assert len(ROWS) > 30


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
