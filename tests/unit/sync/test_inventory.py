from datetime import timedelta
from typing import Any

import pytest

from comfyard.store.inventory import Inventory
from comfyard.sync.inventory import KEY, is_news, read
from tests.unit.sync.bundles import NOW


def inventory(**more: Any) -> Inventory:
    empty = {"categories": [], "files": [], "files_left_out": 0, "unfinished_bytes": 0, "custom_nodes": []}
    return Inventory.model_validate(
        {"time": NOW, "total_bytes": 9000, "free_bytes": 1000, "loose_bytes": 0, **empty, **more}
    )


@pytest.mark.parametrize(
    ("change", "news"),
    [
        ({}, False),
        ({"time": NOW + timedelta(days=1)}, False),
        ({"free_bytes": 1010}, False),
        ({"free_bytes": 990}, False),
        ({"free_bytes": 1011}, True),
        ({"free_bytes": 989}, True),
        ({"loose_bytes": 1}, True),
        ({"total_bytes": 1}, True),
    ],
)
def test_free_bytes_alone_are_no_news_unless_they_are_many(change: dict[str, Any], *, news: bool) -> None:
    assert is_news(inventory(), inventory(**change)) == news


def test_the_first_one_is_news() -> None:
    assert is_news(None, inventory())


def test_what_was_written_is_read_again_and_what_another_version_wrote_is_not() -> None:
    assert read({KEY: inventory().model_dump_json(by_alias=True)}) == inventory()
    assert read({KEY: '{"something": "else"}'}) is None
    assert read({KEY: "no JSON"}) is None
    assert read(None) is None
