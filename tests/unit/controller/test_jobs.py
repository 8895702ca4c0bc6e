from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from comfyard.api.conditions import is_true
from comfyard.api.generation_job import GenerationJob
from comfyard.api.hardware_profile import HardwareProfile
from comfyard.api.model_bundle import ModelBundle
from comfyard.api.workflow_template import WorkflowTemplate, WorkflowTemplateSpec
from comfyard.controller import jobs
from comfyard.controller.pools import Node, Server
from tests.builders import NOW, bundle, job, profile, ready, template, template_spec

SERVER = Server(namespace="studio", name="l4-1", pool="l4-x", profile="l4", ready=True, leaving=False)
ASSIGNMENT = {"id": "a1", "server": "l4-1", "profile": "l4", "time": "2026-01-02T03:04:00Z"}


def observed(
    *,
    template: WorkflowTemplate | None = None,
    bundles: Mapping[str, ModelBundle] | None = None,
    profiles: Mapping[str, HardwareProfile] | None = None,
    server: Server | None = None,
    claims: frozenset[str] = frozenset(),
    revision: WorkflowTemplateSpec | None = None,
) -> jobs.Observed:
    return jobs.Observed(
        template=template,
        templates=["text-to-image", "other"],
        bundles={"sd15": bundle()} if bundles is None else bundles,
        profiles={"l4": profile()} if profiles is None else profiles,
        revision=revision or WorkflowTemplateSpec.model_validate(template_spec()),
        server=server,
        claims=claims,
        results_claim="results",
    )


def plan(order: GenerationJob, seen: jobs.Observed) -> jobs.Plan:
    return jobs.plan(order, order.status.to_api(), seen, NOW)


def after(status: dict[str, Any]) -> GenerationJob:
    return job(status=status)


def words(result: jobs.Plan) -> tuple[str, str]:
    return result.status["state"], result.status["message"]


def test_a_good_job_demands_a_server_of_its_pool() -> None:
    result = plan(job(), observed(template=template()))
    assert result.demand
    assert result.demand.pool.profile == "l4"
    assert result.demand.pool.model_claims == ("models",)
    assert result.demand.pool.results_claim == "results"
    assert result.status["parameters"] == {"prompt": "a lighthouse", "steps": 20}
    assert result.status["template"] == {"revision": "t-1", "digest": "sha256:t"}


def test_the_drawn_seed_is_the_same_when_asked_again() -> None:
    seen = observed(template=template())
    assert plan(job(), seen).status["seed"] == plan(job(), seen).status["seed"]


def test_a_given_seed_is_kept_as_a_string() -> None:
    order = job(parameters={"prompt": "x", "seed": 7})
    assert plan(order, observed(template=template())).status["seed"] == "7"


@pytest.mark.parametrize(
    ("seen", "reason", "parts"),
    [
        (observed(), "TemplateNotFound", ['"text-to-image"', '"studio"', "other, text-to-image", "create it"]),
        (
            observed(template=template(status={"observedGeneration": 0})),
            "TemplateNotReady",
            ["text-to-image is being checked"],
        ),
        (observed(template=template(), profiles={}), "ProfileNotFound", ['"l4"', "create it"]),
        (observed(template=template(), bundles={}), "BundleNotFound", ['"sd15"', "create it"]),
        (
            observed(template=template(), bundles={"sd15": bundle(status={"observedGeneration": 1})}),
            "BundleNotReady",
            ["bundle sd15"],
        ),
    ],
)
def test_what_may_still_come_is_waited_for(seen: jobs.Observed, reason: str, parts: list[str]) -> None:
    result = plan(job(), seen)
    ended = after(result.status)
    assert result.demand is None
    assert is_true(ended.status.conditions, "Reconciling")
    assert {c.reason for c in ended.status.conditions if c.type == "Ready"} == {reason}
    assert all(part in result.status["message"] for part in parts)


def test_wrong_parameters_fail_at_once_and_say_what_is_known() -> None:
    result = plan(job(parameters={"promt": "x"}), observed(template=template()))
    ended = after(result.status)
    assert ended.is_finished()
    assert is_true(ended.status.conditions, "Stalled")
    assert "unknown parameter promt; the template has: prompt, seed, steps" in ended.status.message
    assert "parameter prompt is required" in ended.status.message


def test_an_unknown_output_claim_is_waited_for() -> None:
    order = job(output={"claim": {"name": "gone"}})
    assert 'PersistentVolumeClaim "gone"' in words(plan(order, observed(template=template())))[1]
    assert plan(order, observed(template=template(), claims=frozenset({"gone"}))).demand


def test_a_finished_job_is_left_alone() -> None:
    done = {"observedGeneration": 1, "conditions": [{**ready()[0], "type": "Complete"}]}
    order = job(status=done, suspend=True)
    assert plan(order, observed()).status == order.status.to_api()


def test_a_finished_job_is_observed_when_its_priority_changes() -> None:
    done = {"observedGeneration": 1, "conditions": [{**ready()[0], "type": "Complete"}]}
    order = job(status=done, metadata={"generation": 2}, priority=3)
    assert plan(order, observed()).status == {**order.status.to_api(), "observedGeneration": 2}


def test_an_assigned_job_on_a_ready_server_is_left_to_its_agent() -> None:
    order = job(status={"observedGeneration": 1, "assignment": ASSIGNMENT, "state": "Running"})
    result = plan(order, observed(template=template(), server=SERVER))
    assert result.demand is None
    assert result.status == order.status.to_api()


def test_a_server_that_is_gone_costs_an_uncounted_attempt_and_the_job_is_demanded_again() -> None:
    order = job(status={"observedGeneration": 1, "assignment": ASSIGNMENT, "state": "Running"})
    result = plan(order, observed(template=template()))
    attempt = result.status["attempts"][-1]
    assert (attempt["outcome"], attempt["class"]) == ("Failed", "ServerLost")
    assert "assignment" not in result.status
    assert result.status["usage"]["gpuSeconds"] == 5
    assert result.demand


def test_a_server_that_is_not_ready_for_a_moment_keeps_its_job() -> None:
    late = Server(
        namespace="studio", name="l4-1", pool="l4-x", profile="l4", ready=False, leaving=True,
        unready_since=NOW - timedelta(seconds=17),
    )  # fmt: skip
    order = job(status={"observedGeneration": 1, "assignment": ASSIGNMENT})
    result = plan(order, observed(template=template(), server=late))
    assert result.after == 3
    assert result.status["assignment"] == ASSIGNMENT


def test_suspend_ends_the_assignment() -> None:
    order = job(status={"observedGeneration": 1, "assignment": ASSIGNMENT}, suspend=True)
    result = plan(order, observed(template=template(), server=SERVER))
    assert "assignment" not in result.status
    assert result.status["attempts"][-1]["outcome"] == "Stopped"
    assert words(result)[0] == "Suspended"


def test_resuming_queues_it_again() -> None:
    suspended = plan(job(suspend=True), observed(template=template())).status
    result = plan(job(status=suspended), observed(template=template()))
    assert result.demand


def test_a_deleted_template_does_not_stop_an_accepted_job() -> None:
    accepted = plan(job(), observed(template=template())).status
    assert plan(job(status=accepted), observed(template=None)).demand


def test_a_changed_template_does_not_change_an_accepted_job() -> None:
    accepted = plan(job(), observed(template=template())).status
    changed = template(status={"observedGeneration": 1, "conditions": ready(), "revision": "t-2", "digest": "sha256:u"})
    assert plan(job(status=accepted), observed(template=changed)).status["template"]["revision"] == "t-1"


def test_assigning_is_one_status_with_all_that_the_agent_needs() -> None:
    order = job()
    accepted = plan(order, observed(template=template())).status
    status = jobs.assign(order, accepted, SERVER, NOW)
    assert status["assignment"]["server"] == "l4-1"
    assert status["usage"]["queuedSeconds"] == 5
    assert {"seed", "parameters", "template", "startTime", "conditions"} <= set(status)


def test_planning_on_its_own_result_changes_nothing() -> None:
    seen = observed(template=template(), server=SERVER)
    for status in (
        plan(job(), observed()).status,
        plan(job(parameters={}), seen).status,
        jobs.assign(job(), plan(job(), seen).status, SERVER, NOW),
    ):
        again = job(status=status, parameters={} if status["state"] == "Failed" else {"prompt": "a lighthouse"})
        assert plan(again, seen if status["state"] != "Pending" else observed()).status == again.status.to_api()


def with_node(commit: str, name: str = "sd15", claim: str = "models") -> ModelBundle:
    status = {"observedGeneration": 1, "conditions": ready("Verified"), "claimName": claim}
    return bundle(name, status, customNodes=[{"name": "pack", "git": {"url": "https://host/p", "commit": commit}}])


def test_the_servers_of_a_job_have_the_custom_nodes_of_its_bundles() -> None:
    one, two = template(bundles=[{"name": "sd15"}]), template(bundles=[{"name": "sd15"}, {"name": "more"}])
    bundles = {"sd15": with_node("c" * 40), "more": with_node("c" * 40, "more", "loras")}
    for found in (one, two):
        demand = plan(job(), observed(template=found, bundles=bundles, revision=found.spec)).demand
        assert demand
        assert demand.pool.nodes == (Node("pack", "c" * 40, "models"),)


def test_a_custom_node_at_two_commits_is_waited_out_and_told() -> None:
    found = template(bundles=[{"name": "sd15"}, {"name": "more"}])
    bundles = {"sd15": with_node("c" * 40), "more": with_node("d" * 40, "more")}
    result = plan(job(), observed(template=found, bundles=bundles, revision=found.spec))
    assert result.demand is None
    state, message = words(result)
    assert state == "Pending"
    assert f"custom node pack is at commit {'c' * 40} in bundle sd15 and at {'d' * 40} in bundle more" in message
