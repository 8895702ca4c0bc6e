import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from comfyard.cli import app
from comfyard.cli.inventory import Told, ago, chosen, describe, to_json
from comfyard.store.inventory import Category, Inventory, NodePackage, NotWanted, Tally
from comfyard.sync.inventory import KEY

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def inventory(**more: Any) -> Inventory:
    nothing = Tally()
    checkpoints = Category(
        name="checkpoints",
        known=Tally(files=2, bytes=13_000_000_000),
        retained=Tally(files=1, bytes=2_000_000_000),
        unknown=nothing,
    )
    loras = Category(name="loras", known=Tally(files=1, bytes=500), retained=nothing, unknown=Tally(files=3, bytes=900))
    standard = {
        "time": NOW - timedelta(minutes=3),
        "total_bytes": 50_000_000_000,
        "free_bytes": 20_000_000_000,
        "categories": [checkpoints, loras],
        "files": [NotWanted(path="checkpoints/[old].safetensors", bytes=2_000_000_000, kind="Retained")],
        "files_left_out": 3,
        "unfinished_bytes": 0,
        "loose_bytes": 7000,
        "custom_nodes": [NodePackage(commit="c" * 40, bytes=12_000)],
    }
    return Inventory.model_validate({**standard, **more})


def config_map(claim: str, told: Inventory | None) -> dict[str, Any]:
    owner = {"kind": "PersistentVolumeClaim", "name": claim}
    data = {KEY: told.model_dump_json(by_alias=True)} if told else None
    return {"metadata": {"name": f"sync-{claim}", "ownerReferences": [owner]}, "data": data}


def test_what_config_maps_tell_of_which_claim() -> None:
    foreign = {"metadata": {"name": "foreign"}, "data": {KEY: "{}"}}
    older = config_map("older", None) | {"data": {KEY: '{"version": 0}'}}
    objects = [config_map("b", inventory()), foreign, older, config_map("a", None)]
    assert chosen(objects, "") == [Told("a", None), Told("b", inventory()), Told("older", None)]
    assert chosen(objects, "b") == [Told("b", inventory())]
    assert chosen(objects, "c") == []


def test_what_a_person_reads() -> None:
    console = Console(file=io.StringIO(), width=90)
    for part in describe([Told("models", inventory()), Told("new", None)], NOW):
        console.print(part)
    lines = [" ".join(line.split()) for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]
    assert [line for line in lines if line] == [
        "Claim models, as of 3m ago",
        "Folder Wanted Retained Unknown",
        "checkpoints 2, 13.0 GB 1, 2.0 GB -",
        "loras 1, 500 bytes - 3, 900 bytes",
        "all 3, 13.0 GB 1, 2.0 GB 3, 900 bytes",
        "Files that no bundle wants Size",
        "checkpoints/[old].safetensors 2.0 GB Retained",
        "and 3 smaller ones",
        "Custom nodes Size",
        f"{'c' * 40} 12.0 kB",
        "Contents without a path: 7.0 kB",
        "Free: 20.0 GB of 50.0 GB",
        "Claim new: nothing is known yet",
    ]


def test_what_a_program_reads() -> None:
    [told] = json.loads(to_json([Told("models", inventory()), Told("new", None)]))
    assert told["claim"] == "models"
    assert told["freeBytes"] == 20_000_000_000
    assert told["categories"][0]["retained"] == {"files": 1, "bytes": 2_000_000_000}


@pytest.mark.parametrize(
    ("seconds", "text"), [(-3, "0s ago"), (59, "59s ago"), (60, "1m ago"), (7300, "2h ago"), (900_000, "10d ago")]
)
def test_ages(seconds: int, text: str) -> None:
    assert ago(timedelta(seconds=seconds)) == text


def test_without_a_cluster_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "nothing"))
    done = CliRunner().invoke(app, ["store"])
    assert done.exit_code == 1
    assert "comfyard: no cluster is configured" in done.output
