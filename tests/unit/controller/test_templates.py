from comfyard.api.conditions import find
from comfyard.api.workflow_template import WorkflowTemplate
from comfyard.controller import templates
from tests.builders import NOW, bundle, template

UNSEEN = {"observedGeneration": -1}


def plan(t: WorkflowTemplate, *names: str) -> templates.Plan:
    return templates.plan(t, t.status.to_api(), {n: bundle(n) for n in names}, [], NOW)


def message(result: templates.Plan, condition: str) -> str:
    found = find(template(status=result.status).status.conditions, condition)
    assert found
    assert found.status == "True"
    return found.message


def test_a_good_template_is_accepted_and_its_content_kept() -> None:
    result = plan(template(UNSEEN), "sd15")
    assert result.revision
    assert result.revision["metadata"]["name"] == result.status["revision"]
    assert result.status["models"] == [{"path": "checkpoints/sd15.safetensors", "bundle": "sd15"}]
    message(result, "Ready")


def test_kept_content_is_not_kept_twice() -> None:
    first = plan(template(UNSEEN), "sd15").revision
    assert first
    again = templates.plan(template(UNSEEN), {}, {"sd15": bundle()}, [first], NOW)
    assert again.revision is None
    assert again.status["revision"] == first["metadata"]["name"]


def test_a_missing_bundle_is_waited_for() -> None:
    assert "modelbundles.comfyard.io sd15 not found (there: other)" in message(
        plan(template(UNSEEN), "other"), "Reconciling"
    )


def test_a_model_that_no_bundle_has_stalls_it() -> None:
    result = templates.plan(template(UNSEEN, bundles=[]), {}, {}, [], NOW)
    assert "provides checkpoints/sd15.safetensors" in message(result, "Stalled")


def test_a_model_that_a_bundle_leaves_out_is_not_provided() -> None:
    found = bundle(status={"skipped": ["checkpoints/sd15.safetensors"]})
    told = message(templates.plan(template(UNSEEN), {}, {"sd15": found}, [], NOW), "Stalled")
    assert "provides checkpoints/sd15.safetensors" in told
    assert "or a profile that wants it to the spec.profiles of the one that leaves it out" in told


def test_all_problems_are_told_at_once() -> None:
    broken = template(UNSEEN, outputs=[{"name": "a", "node": "70"}, {"name": "b", "node": "71"}])
    told = message(plan(broken, "sd15"), "Stalled")
    assert "node 70" in told
    assert "node 71" in told


def test_revisions_that_jobs_need_outlive_the_template() -> None:
    kept = [{"metadata": {"name": n}} for n in ("a", "b", "c")]
    assert templates.orphans(kept, "", frozenset({"b"})) == ["a", "c"]
