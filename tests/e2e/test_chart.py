"""The chart by itself: linted, strict about its values, and the same as the committed manifests."""

import pytest
import yaml

from hack.demo.cluster import Cluster, CommandError
from hack.manifests import ROOT, render

pytestmark = pytest.mark.e2e

CHART = str(ROOT / "charts" / "comfyard")


def test_committed_manifests_are_those_of_the_chart() -> None:
    assert (ROOT / "manifests" / "install.yaml").read_text() == render(), "run `make manifests`"


def test_lint(cluster: Cluster) -> None:
    assert "0 chart(s) failed" in cluster.helm("lint", "--strict", CHART)


def test_a_value_that_does_not_exist_is_refused(cluster: Cluster) -> None:
    with pytest.raises(CommandError, match="additional properties 'repo' not allowed"):
        cluster.helm("template", "comfyard", CHART, "--set", "image.repo=x")


def test_a_digest_goes_before_the_tag(cluster: Cluster) -> None:
    digest = f"sha256:{'a' * 64}"
    said = cluster.helm("template", "comfyard", CHART, "--set", f"image.digest={digest}", "--set-string", "image.tag=1")
    assert f"image: ghcr.io/example/comfyard@{digest}" in said


def test_one_replica_needs_no_disruption_budget_and_no_affinity(cluster: Cluster) -> None:
    said = cluster.helm("template", "comfyard", CHART)
    assert "PodDisruptionBudget" not in said
    assert "podAntiAffinity" not in said


def test_two_replicas_prefer_different_nodes_and_are_not_evicted_together(cluster: Cluster) -> None:
    found = list(yaml.safe_load_all(cluster.helm("template", "comfyard", CHART, "--set", "replicas=2")))
    by_kind = {each["kind"]: each["spec"] for each in found if "spec" in each}
    deployment, budget = by_kind["Deployment"], by_kind["PodDisruptionBudget"]
    assert deployment["replicas"] == 2
    assert budget["maxUnavailable"] == 1
    assert budget["selector"] == deployment["selector"]
    rules = deployment["template"]["spec"]["affinity"]["podAntiAffinity"]
    [preferred] = rules["preferredDuringSchedulingIgnoredDuringExecution"]
    assert preferred["podAffinityTerm"]["labelSelector"] == deployment["selector"]


def test_what_the_administrator_says_of_affinity_goes_first(cluster: Cluster) -> None:
    ours = ("--set", "replicas=2", "--set-json", 'affinity={"nodeAffinity":{}}')
    assert "podAntiAffinity" not in cluster.helm("template", "comfyard", CHART, *ours)


def test_the_api_server_takes_the_manifests(cluster: Cluster) -> None:
    manifest = (ROOT / "manifests" / "install.yaml").read_text().replace("comfyard-system", "default")
    said = cluster.kubectl("apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", "-", stdin=manifest)
    assert "deployment.apps/comfyard" in said
