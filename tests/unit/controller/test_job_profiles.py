"""Which of its profiles a job goes to."""

from typing import Any

import pytest

from comfyard.api.hardware_profile import HardwareProfile
from comfyard.api.model_bundle import ModelBundle
from comfyard.controller.job_observed import Observed
from comfyard.controller.jobs import Plan
from comfyard.controller.pools import Pool
from comfyard.controller.trouble import Trouble
from tests.builders import bundle, job, profile, template
from tests.unit.controller.planning import observed, plan, reason, words

PULL = Trouble("ImagePullBackOff", "no image")
SELECTED = {"from": "Selector", "selector": {"matchLabels": {"team": "film"}}}


def around(*profiles: HardwareProfile, **more: Any) -> Observed:
    return observed(template=template(), profiles={each.metadata.name: each for each in profiles}, **more)


def order(seen: Observed, *names: str) -> Plan:
    return plan(job(profiles=list(names)), seen)


def chosen(seen: Observed, *names: str) -> str | None:
    demand = order(seen, *names).demand
    return demand.pool.profile if demand else None


def pool_on(name: str) -> str:
    """The name of the pool that the job would be in."""
    return Pool("studio", name, ("models",), "results").name


A, B, FILM = profile("a"), profile("b"), profile("film", namespaces=SELECTED)


@pytest.mark.parametrize(
    ("broken", "taken"), [((), "a"), (("a",), "b"), (("b",), "a"), (("a", "b"), "a")], ids=["none", "a", "b", "both"]
)
def test_the_first_one_whose_servers_can_start(broken: tuple[str, ...], taken: str) -> None:
    assert chosen(around(A, B, broken={pool_on(name): PULL for name in broken}), "a", "b") == taken


def test_one_that_is_not_there_is_passed_over() -> None:
    assert chosen(around(B), "a", "b") == "b"
    assert reason(order(around(), "a", "b")) == "ProfileNotFound"


def test_one_that_does_not_admit_the_namespace_is_passed_over() -> None:
    assert chosen(around(FILM, B), "film", "b") == "b"
    assert chosen(around(FILM, B, namespace_labels={"team": "film"}), "film", "b") == "film"


def test_a_job_waits_for_a_profile_to_admit_it_and_says_so() -> None:
    result = order(around(FILM), "film")
    assert reason(result) == "ProfileNotAllowed"
    assert words(result)[0] == "Pending"
    assert "profile film does not admit namespace studio; label the namespace as the profile's" in words(result)[1]


def test_what_is_missing_on_the_next_one_is_no_reason_to_go_there_and_wait() -> None:
    tagged = profile("b", models={"excludeTags": ["fp16"]})
    model = {"path": "checkpoints/sd15.safetensors", "source": {"http": {"url": "http://host/x"}}, "tags": ["fp16"]}
    bundles = {"sd15": bundle_with(model)}
    seen = around(A, tagged, bundles=bundles, broken={pool_on("a"): PULL})
    assert chosen(around(tagged, bundles=bundles), "b") is None
    assert chosen(seen, "a", "b") == "a"


def bundle_with(model: dict[str, Any]) -> ModelBundle:
    return bundle(models=[{**model, "sha256": "a" * 64}])


def test_what_broke_on_one_pool_says_nothing_of_another_of_the_profile() -> None:
    other = Pool("studio", "a", ("loras",), "results").name
    assert chosen(around(A, B, broken={other: PULL}), "a", "b") == "a"
