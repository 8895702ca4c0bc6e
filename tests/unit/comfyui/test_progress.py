"""Progress, folded from events as ComfyUI sends them."""

from typing import Any

import pytest

from comfyard.comfyui.progress import PromptProgress
from tests.unit.comfysim.harness import sd15


def state(node: str, value: float, most: float, how: str = "running", display: str = "") -> dict[str, Any]:
    return {"node_id": node, "display_node_id": display or node, "value": value, "max": most, "state": how}


def events(*states: dict[str, Any]) -> dict[str, Any]:
    return {"nodes": {one["node_id"]: one for one in states}}


@pytest.fixture
def progress() -> PromptProgress:
    """Of a graph of seven nodes, one of them with 20 steps."""
    return PromptProgress(sd15(steps=20))


def test_nothing_has_happened_at_first(progress: PromptProgress) -> None:
    assert (progress.now().fraction, progress.now().node) == (0.0, "")


def test_a_step_counts_as_much_as_a_node(progress: PromptProgress) -> None:
    progress.see("progress_state", events(state("4", 1, 1, "finished"), state("3", 7, 20)))
    now = progress.now()
    assert now.fraction == pytest.approx(8 / 26)
    assert (now.node, now.step, now.steps) == ("3", 7, 20)


def test_cached_nodes_are_done(progress: PromptProgress) -> None:
    progress.see("execution_cached", {"nodes": ["4", "5", "6", "7"]})
    assert progress.now().fraction == pytest.approx(4 / 26)


def test_everything_finished_is_the_whole(progress: PromptProgress) -> None:
    progress.see("progress_state", events(*(state(node, 1, 1, "finished") for node in sd15())))
    assert progress.now().fraction == 1.0


def test_an_expanded_node_counts_for_its_origin(progress: PromptProgress) -> None:
    progress.see("progress_state", events(state("3.0.0.1", 5, 10, display="3")))
    now = progress.now()
    assert (now.node, now.step) == ("3", 5)
    assert now.fraction == pytest.approx(10 / 26)


@pytest.mark.parametrize(
    "odd",
    [{"nodes": None}, {"nodes": {"3": None}}, {"nodes": {"3": state("3", float("nan"), -1)}}, {}],
)
def test_odd_events_do_no_harm(progress: PromptProgress, odd: dict[str, Any]) -> None:
    progress.see("progress_state", odd)
    assert progress.now().fraction == 0.0
