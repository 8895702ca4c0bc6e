"""Kueue in the cluster, for a test: its release as it is, with a manager that was built here.

What differs from the release: the image; certificates of ours, as Kueue's own take a minute to reach its pod; webhooks
only for namespaces with `LABEL`, so that whatever happens to Kueue concerns nobody else; no visibility API.
"""

from __future__ import annotations

import base64
import contextlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from hack.cluster import binaries, images
from hack.cluster.certificates import Authority
from hack.cluster.cluster import Cluster
from hack.cluster.process import run, wait_until
from hack.cluster.settings import ClusterError, short_hash

LABEL = "kueue.x-k8s.io/managed-namespace"
"""On a Namespace, with the value true: its pods are Kueue's business."""

_MODULE = "sigs.k8s.io/kueue"
_NAMESPACE = "kueue-system"
_SECRET = "kueue-webhook-server-cert"  # noqa: S105 - a name
_HOST = f"kueue-webhook-service.{_NAMESPACE}.svc"
_METRICS_CERTIFICATES = "/etc/kueue/metrics/certs"  # where Kueue looks when it does not make its own
_CONFIG = "controller_manager_config.yaml"
_MANAGED = "kueue.x-k8s.io/managed=true"
_WEBHOOKS = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
_WAIT = "--timeout=120s"

Manifest = dict[str, Any]


@contextlib.contextmanager
def installed(cluster: Cluster) -> Iterator[None]:
    """Have Kueue in the cluster while the block runs; its queues, and the pods in them, go away with it.

    Args:
        cluster: Ours; it runs.

    Raises:
        ClusterError: Kueue did not start, or something of it did not go.
    """
    manager = binaries.build(binaries.KUEUE, cluster.settings.cache)
    image = images.of_files(cluster.settings, "kueue", {"manager": manager}, ["/manager"])
    images.load(cluster.layout, image)
    release = _release(cluster, image.reference)
    kinds = _of_kind(release, "CustomResourceDefinition")
    _apply(cluster, kinds)
    cluster.kubectl("wait", "--for=condition=Established", _WAIT, *_names(kinds))
    try:
        _apply(cluster, release)
        _wait_for_webhooks(cluster)
        yield
    finally:
        _remove(cluster, release)


def _wait_for_webhooks(cluster: Cluster) -> None:
    manager = ("--namespace", _NAMESPACE, "rollout", "status", "deployment/kueue-controller-manager")
    cluster.kubectl(*manager, _WAIT)
    # The pod is ready before kube-proxy knows the way to it, and the API server refuses all queues until then.
    probe = {"apiVersion": "kueue.x-k8s.io/v1beta2", "kind": "ResourceFlavor", "metadata": {"name": "probe"}}
    ask = ("create", "--dry-run=server", "--output=name", "--filename=-")
    if not wait_until(lambda: bool(cluster.kubectl(*ask, text_in=json.dumps(probe), check=False)), 30):
        raise ClusterError("the webhooks of Kueue cannot be reached")


def _remove(cluster: Cluster, release: list[Manifest]) -> None:
    """Take it away in an order in which nothing waits for a finalizer whose owner is gone."""
    kinds = _of_kind(release, "CustomResourceDefinition")
    cluster.kubectl("delete", "pods", f"--selector={_MANAGED}", "--all-namespaces", _WAIT)
    cluster.kubectl("delete", "workloads.kueue.x-k8s.io,localqueues.kueue.x-k8s.io", "--all", "--all-namespaces", _WAIT)
    cluster.kubectl("delete", "clusterqueues.kueue.x-k8s.io,workloadpriorityclasses.kueue.x-k8s.io", "--all", _WAIT)
    cluster.kubectl("delete", "resourceflavors.kueue.x-k8s.io", "--all", _WAIT)
    _delete(cluster, _of_kind(release, *_WEBHOOKS), _WAIT)
    _delete(cluster, _of_kind(release, "Namespace"), _WAIT)
    _delete(cluster, release, "--wait=false")
    cluster.kubectl("wait", "--for=delete", _WAIT, *_names(kinds))


def _delete(cluster: Cluster, objects: list[Manifest], how: str) -> None:
    cluster.kubectl("delete", "--ignore-not-found", how, "--filename=-", text_in=yaml.safe_dump_all(objects))


def _release(cluster: Cluster, image: str) -> list[Manifest]:
    """The manifests of the version that the manager is built from, for this cluster."""
    module = json.loads(run("go", "-C", binaries.KUEUE.folder, "mod", "download", "-json", _MODULE))
    text = cluster.kubectl("kustomize", f"{module['Dir']}/config/default")
    objects = [each for each in yaml.safe_load_all(text) if each["kind"] != "APIService"]
    with tempfile.TemporaryDirectory() as folder:
        authority = Authority.create(Path(folder))
        authority.issue("webhook", "kueue", addresses=[f"DNS:{_HOST}"])
        files = {"ca.crt": "ca.crt", "tls.crt": "webhook.crt", "tls.key": "webhook.key"}
        pair = {key: base64.b64encode(authority.file(name).read_bytes()).decode() for key, name in files.items()}
    for each in objects:
        _adapt(each, image, pair)
    return objects


def _adapt(each: Manifest, image: str, pair: dict[str, str]) -> None:
    """Change one object of the release in place. `pair` is what the Secret of the webhooks' certificate holds."""
    kind, name = each["kind"], each["metadata"]["name"]
    if kind in _WEBHOOKS:
        for webhook in each["webhooks"]:
            webhook["clientConfig"]["caBundle"] = pair["ca.crt"]
            if "namespaceSelector" in webhook:
                webhook["namespaceSelector"] = {"matchLabels": {LABEL: "true"}}
    elif kind == "CustomResourceDefinition" and "conversion" in each["spec"]:
        each["spec"]["conversion"]["webhook"]["clientConfig"]["caBundle"] = pair["ca.crt"]
    elif kind == "Secret" and name == _SECRET:
        each["data"] = pair
    elif kind == "ConfigMap":
        config = yaml.safe_load(each["data"][_CONFIG])
        config["internalCertManagement"] = {"enable": False}
        each["data"][_CONFIG] = yaml.safe_dump(config)
    elif kind == "Deployment":
        template = each["spec"]["template"]
        template["metadata"]["annotations"]["certificate"] = short_hash(pair["tls.crt"])  # another one: another pod
        _adapt_pod(template["spec"], image)


def _adapt_pod(spec: Manifest, image: str) -> None:
    spec["securityContext"]["runAsUser"] = 65532  # the image names none
    spec["terminationGracePeriodSeconds"] = 0  # there is nothing that it could hand over
    container = spec["containers"][0]
    container.update(image=image, imagePullPolicy="IfNotPresent", resources={})
    container["args"].append("--feature-gates=VisibilityOnDemand=false")
    container["readinessProbe"].update(initialDelaySeconds=0, periodSeconds=1)
    container["volumeMounts"].append({"name": "cert", "mountPath": _METRICS_CERTIFICATES, "readOnly": True})


def _apply(cluster: Cluster, objects: list[Manifest]) -> None:
    # The release's CRDs are larger than what a client-side apply can remember.
    arguments = ("apply", "--server-side", "--force-conflicts", "--filename=-")
    cluster.kubectl(*arguments, text_in=yaml.safe_dump_all(objects))


def _of_kind(objects: list[Manifest], *kinds: str) -> list[Manifest]:
    return [each for each in objects if each["kind"] in kinds]


def _names(objects: list[Manifest]) -> list[str]:
    return [f"{each['kind']}/{each['metadata']['name']}" for each in objects]
