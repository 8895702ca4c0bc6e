"""What the operator does, seen through the API server."""

import signal

import pytest

from tests.api.conftest import WAIT, Studio

pytestmark = pytest.mark.api


def test_the_order_of_creation_does_not_matter(studio: Studio) -> None:
    studio.order("a")
    studio.wait("cgj/a", ".status.conditions[?(@.type=='Ready')].reason", "TemplateNotFound")
    studio.create_template()
    studio.create_profile()
    studio.create_bundle()
    studio.sync_bundle()
    studio.wait("cgj/a", ".status.state", "Queued")
    studio.start_server()
    studio.wait_assigned("a")


def test_describe_tells_the_cause_and_the_fix_of_an_unknown_template(studio: Studio) -> None:
    studio.create_template()
    studio.order("a", template={"name": "text-to-imgae"})
    studio.wait("cgj/a", ".status.conditions[?(@.type=='Ready')].reason", "TemplateNotFound")
    said = studio.kubectl("describe", "cgj", "a")
    assert 'workflowtemplates.comfyard.io "text-to-imgae" is not in namespace' in said
    assert "(there: text-to-image); create it, or order again with another template" in said


def test_describe_tells_the_cause_and_the_fix_of_a_missing_bundle(studio: Studio) -> None:
    studio.create_profile()
    studio.create_template()
    studio.order("a")
    studio.wait("cwt/text-to-image", ".status.conditions[?(@.type=='Ready')].reason", "BundleNotFound")
    studio.wait("cgj/a", ".status.conditions[?(@.type=='Ready')].reason", "TemplateNotReady")
    assert "modelbundles.comfyard.io sd15 not found (there: none); create it" in studio.kubectl("describe", "cgj", "a")


def test_a_wrong_parameter_fails_at_once_and_no_server_is_made(studio: Studio) -> None:
    studio.prepare()
    studio.order("a", parameters={"prompt": "x", "stpes": 3})
    studio.kubectl("wait", "--for=condition=Failed", WAIT, "cgj/a")
    assert "unknown parameter stpes; the template has: prompt, seed, steps" in studio.kubectl("describe", "cgj", "a")
    assert studio.servers() == []


def test_a_job_on_a_warm_server_costs_one_write_of_the_operator(studio: Studio) -> None:
    studio.prepare()
    studio.order("first")
    studio.start_server()
    studio.wait_assigned("first")
    studio.complete("first")
    studio.order("second")
    studio.wait_assigned("second")
    assert len([w for w in studio.writes("generationjobs", "second") if "kubectl" not in w]) == 1


def test_a_finished_job_is_not_run_again_when_it_is_applied_again(studio: Studio) -> None:
    studio.prepare()
    studio.order("a")
    studio.start_server()
    studio.wait_assigned("a")
    studio.complete("a")
    before = studio.get("cgj", "a")["metadata"]["resourceVersion"]
    studio.order("a")
    studio.order("b")
    studio.wait_assigned("b")
    assert studio.get("cgj", "a")["metadata"]["resourceVersion"] == before


def test_a_job_whose_server_is_deleted_goes_to_another(studio: Studio) -> None:
    studio.prepare()
    studio.order("a")
    pod = studio.start_server()
    studio.wait_assigned("a")
    studio.kubectl("delete", pod, "--force", "--grace-period=0")
    studio.wait("cgj/a", ".status.state", "Queued")
    studio.start_server()
    studio.wait_assigned("a")
    assert [a["class"] for a in studio.status("a")["attempts"]] == ["ServerLost"]


def test_an_operator_that_was_killed_goes_on_where_it_was(studio: Studio) -> None:
    studio.prepare()
    studio.order("a")
    pod = studio.start_server()
    studio.wait_assigned("a")
    assignment = studio.status("a")["assignment"]
    studio.operator.stop(signal.SIGKILL)
    studio.order("b")
    studio.operator.start()
    studio.wait("cgj/b", ".status.state", "Queued")
    assert studio.status("a")["assignment"] == assignment
    assert pod in studio.wait_servers(2)
    studio.order("c")
    studio.wait("cgj/c", ".status.state", "Queued")
    assert len(studio.servers()) == 2


def test_an_operator_that_starts_applies_only_what_is_not_as_it_left_it(studio: Studio) -> None:
    studio.prepare()
    studio.order("a")
    studio.start_server()
    studio.wait_assigned("a")
    studio.complete("a")
    before = studio.writes("roles", "comfyard-agent")
    studio.operator.stop()
    studio.kubectl("delete", "rolebinding", "comfyard-agent")
    studio.operator.start()
    studio.order("b")
    studio.wait_assigned("b")
    assert studio.get("rolebinding", "comfyard-agent")["subjects"][0]["name"] == "comfyard-agent"
    assert studio.writes("roles", "comfyard-agent") == before != []


def test_the_same_error_twice_ends_the_job(studio: Studio) -> None:
    studio.prepare()
    studio.order("a")
    studio.start_server()
    for _ in range(2):
        studio.wait_assigned("a")
        studio.fail("a", "NodeError", "node 3 (KSampler): ValueError: no")
    studio.kubectl("wait", "--for=condition=Failed", WAIT, "cgj/a")
    assert studio.status("a")["message"] == "the same error twice: node 3 (KSampler): ValueError: no"


def test_suspend_takes_the_server_away_and_resume_gives_one(studio: Studio) -> None:
    studio.prepare()
    studio.order("a")
    studio.start_server()
    studio.wait_assigned("a")
    studio.kubectl("patch", "cgj", "a", "--type=merge", "-p", '{"spec":{"suspend":true}}')
    studio.wait("cgj/a", ".status.state", "Suspended")
    assert "assignment" not in studio.status("a")
    studio.kubectl("patch", "cgj", "a", "--type=merge", "-p", '{"spec":{"suspend":false}}')
    studio.wait_assigned("a")


def test_the_pool_stays_within_its_limit_and_says_so(studio: Studio) -> None:
    studio.prepare(max_servers=1)
    studio.order("a")
    studio.start_server()
    studio.wait_assigned("a")
    studio.order("b")
    studio.wait("cgj/b", ".status.state", "Queued")
    told = studio.status("b")["message"]
    assert told.startswith(f"place 1 of 1 in namespace {studio.namespace} for profile {studio.profile}: ")
    assert len(studio.servers()) == 1


def test_the_next_job_is_with_the_server_before_the_first_is_done(studio: Studio) -> None:
    studio.prepare(max_servers=1, queue_depth=2)
    studio.order("a")
    studio.start_server()
    studio.wait_assigned("a")
    studio.order("b")
    studio.wait_assigned("b")
    studio.order("c")
    studio.wait("cgj/c", ".status.state", "Queued")
    assert studio.status("a")["assignment"]["server"] == studio.status("b")["assignment"]["server"]
    studio.complete("a")
    studio.wait_assigned("c")
    assert len(studio.servers()) == 1
    # It waited for longer than for the place before it: told once, then assigned.
    assert len([w for w in studio.writes("generationjobs", "c") if "kubectl" not in w]) == 2


def test_labels_of_the_namespace_limit_what_it_has_at_once(studio: Studio) -> None:
    studio.prepare(max_servers=2)
    studio.kubectl("label", "namespace", studio.namespace, "comfyard.io/max-jobs=1")
    studio.order("a")
    studio.start_server()
    studio.wait_assigned("a")
    studio.order("b")
    studio.wait("cgj/b", ".status.state", "Queued")
    studio.wait_message("b", "comfyard.io/max-jobs")
    studio.kubectl("label", "namespace", studio.namespace, "comfyard.io/max-jobs=2", "--overwrite")
    for pod in studio.wait_servers(2):
        studio.server_is_ready(pod)
    studio.wait_assigned("b")


def test_an_idle_server_goes_away_and_a_busy_one_stays(studio: Studio) -> None:
    studio.prepare(idle_seconds=1)
    studio.order("a")
    pod = studio.start_server()
    studio.wait_assigned("a")
    studio.complete("a")
    studio.kubectl("wait", "--for=delete", WAIT, pod)


def test_a_quota_that_forbids_the_server_is_told_in_the_job(studio: Studio) -> None:
    studio.prepare()
    studio.kubectl("create", "quota", "none", "--hard=pods=0")
    studio.patch_status("quota", "none", {"hard": {"pods": "0"}, "used": {"pods": "0"}})
    studio.order("a")
    studio.wait("cgj/a", ".status.state", "Queued")
    for name in "bcde":  # each is a pass of the scheduler
        studio.order(name)
        studio.wait(f"cgj/{name}", ".status.state", "Queued")
    studio.wait_message("a", "exceeded quota: none")
    assert studio.servers() == []
    # Told, but not with every pass of the scheduler: the loop that this catches wrote five times a second.
    assert len([w for w in studio.writes("generationjobs", "a") if "kubectl" not in w]) <= 2


def test_a_deleted_template_leaves_the_content_that_a_job_was_accepted_with(studio: Studio) -> None:
    studio.prepare()
    studio.order("a")
    studio.wait("cgj/a", ".status.state", "Queued")
    revision = studio.status("a")["template"]["revision"]
    studio.kubectl("delete", "cwt", "text-to-image")
    studio.start_server()
    studio.wait_assigned("a")
    studio.get("controllerrevision", revision)
    studio.complete("a")
    studio.kubectl("wait", "--for=delete", WAIT, f"controllerrevision/{revision}")


def test_a_deleted_job_gives_its_server_to_the_next(studio: Studio) -> None:
    studio.prepare(max_servers=1)
    studio.order("a")
    studio.start_server()
    studio.wait_assigned("a")
    studio.order("b")
    studio.wait("cgj/b", ".status.state", "Queued")
    studio.kubectl("delete", "cgj", "a")
    studio.wait_assigned("b")
