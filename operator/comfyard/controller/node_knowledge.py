"""What is known of the node classes of servers, for templates and jobs to be checked by.

Servers tell it in the ConfigMaps of `resources.node_report`. Each namespace goes by its own: who may write ConfigMaps
in one must not decide what runs in another.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from comfyard.api.hardware_profile import HardwareProfile, Server
from comfyard.api.model_bundle import ModelBundle
from comfyard.api.workflow_template import WorkflowTemplateSpec
from comfyard.controller.resources.node_report import Package, packages_of, report_name, reporting_pod, server_key
from comfyard.kube.kinds import Obj, name_of, namespace_of
from comfyard.workflow.findings import Finding, warning
from comfyard.workflow.graph import node_classes, prune
from comfyard.workflow.object_info import Knowledge, core


@dataclass(frozen=True)
class View:
    """What is known of the servers of some profiles.

    Attributes:
        profiles: Their names; empty when there is no profile yet.
        knowledge: Of their node classes.
        reports: The ConfigMaps that it is from.
    """

    profiles: tuple[str, ...]
    knowledge: Knowledge
    reports: tuple[str, ...] = ()


def packages(bundles: Iterable[ModelBundle]) -> set[Package]:
    """The custom nodes of bundles."""
    return {(node.name, node.git.commit) for bundle in bundles for node in bundle.wanted_nodes()}


def moves(server: Server) -> bool:
    """Whether an image may be another tomorrow under the same name: what Kubernetes pulls anew for every pod."""
    if "@" in server.image:
        return False
    tag = server.image.rpartition("/")[2].partition(":")[2]
    return server.image_pull_policy == "Always" or tag in {"", "latest"}


def known_of(
    profile: HardwareProfile, wanted: Collection[Package], reports: Mapping[str, Knowledge]
) -> Knowledge | None:
    """What is known of a profile's servers with these custom nodes; never complete when the image moves.

    Args:
        profile: The profile.
        wanted: Custom nodes.
        reports: What the servers of the namespace have told, by the report's name.
    """
    told = reports.get(report_name(profile, wanted))
    return Knowledge(told.classes, complete=False) if told and moves(profile.spec.server) else told


def views(
    profiles: Mapping[str, HardwareProfile], wanted: Collection[Package], reports: Mapping[str, Knowledge]
) -> list[View]:
    """How a template may be looked at: as each kind of server sees it that may have to render it.

    For profiles whose servers have told nothing yet stands what ComfyUI itself has, and what the others have told.
    """
    told = {name: known_of(profile, wanted, reports) for name, profile in sorted(profiles.items())}
    alike: dict[tuple[int, bool], tuple[Knowledge, list[str]]] = {}
    for name, knowledge in told.items():
        if knowledge:
            alike.setdefault((id(knowledge.classes), knowledge.complete), (knowledge, []))[1].append(name)
    found = [
        View(tuple(names), knowledge, tuple(sorted({report_name(profiles[name], wanted) for name in names})))
        for knowledge, names in alike.values()
    ]
    unknown = tuple(name for name, knowledge in told.items() if knowledge is None)
    if found and not unknown:
        return found
    classes = {**core().classes, **{k: v for view in found for k, v in view.knowledge.classes.items()}}
    return [*found, View(unknown, Knowledge(classes, complete=False))]


def judge(seen: Sequence[View], check: Callable[[Knowledge], Iterable[Finding]]) -> list[Finding]:
    """What a check finds, all views together: an error is what is wrong in every view, at the same place.

    What is wrong on some profiles only is a warning that names them: jobs may order another.
    """
    found = [(view, list(check(view.knowledge))) for view in seen]
    places = [{each.place for each in findings if each.is_error} for _, findings in found]
    everywhere = set.intersection(*places)
    merged = [each for each in found[0][1] if each.is_error and each.place in everywhere]
    for view, findings in found:
        others = (each for each in findings if not (each.is_error and each.place in everywhere))
        merged += [_on(view, each) if each.is_error else each for each in others]
    return list(dict.fromkeys(merged))


def _on(view: View, each: Finding) -> Finding:
    return warning(each.place, f"on profile {', '.join(view.profiles)}: {each.message}")


def lacked_everywhere(spec: WorkflowTemplateSpec, seen: Sequence[View]) -> str | None:
    """What to do if a template needs a class that all servers which may render it are known not to have; else None."""
    if not seen or not all(lacked(spec, view.knowledge) for view in seen):
        return None
    told = ", ".join(sorted({report for view in seen for report in view.reports}))
    return f"what the servers have is told in ConfigMap {told}: delete it if an image was changed under its tag"


def lacked(spec: WorkflowTemplateSpec, knowledge: Knowledge) -> list[str]:
    """Classes that a template needs and a server is known not to have. Nodes that are not rendered need none."""
    if not knowledge.complete:
        return []
    rendered = prune(spec.graph, (output.node for output in spec.outputs))
    return [name for name in node_classes(rendered) if knowledge.find(name) is None]


def why_not(
    content: WorkflowTemplateSpec,
    profile: HardwareProfile,
    wanted: Collection[Package],
    reports: Mapping[str, Knowledge],
) -> str | None:
    """Why the servers of a profile cannot render a template: it needs a class that they are known not to have."""
    known = known_of(profile, wanted, reports)
    absent = lacked(content, known) if known else []
    if not absent:
        return None
    return (
        f"profile {profile.metadata.name}: image {profile.spec.server.image} with the custom nodes of the template's "
        f"bundles has no node class {', '.join(absent)}; order with another profile, or add the package that brings it "
        f"to a bundle; if the image was changed under its tag, delete ConfigMap {report_name(profile, wanted)}"
    )


@dataclass(frozen=True)
class Care:
    """What to do about a report: delete it, or merge a patch into it."""

    report: Obj
    delete: bool = False
    patch: Mapping[str, Any] | None = None


def care(
    reports: Sequence[Obj],
    profiles: Iterable[HardwareProfile],
    there: Mapping[str, Collection[Package]],
    pods: Iterable[Obj],
) -> list[Care]:
    """What to do about the reports.

    Those about servers that there are no more are deleted. The others get the digest of their image, as the youngest
    pods tell it: a tag may have been moved.

    Args:
        reports: The ConfigMaps of all namespaces.
        profiles: All.
        there: Custom nodes of all bundles, by namespace.
        pods: All servers.
    """
    servers = {server_key(profile) for profile in profiles}
    by_age = sorted(pods, key=lambda pod: (str(pod["metadata"].get("creationTimestamp", "")), name_of(pod)))
    images = {(namespace_of(pod), found[0]): found[1] for pod in by_age if (found := reporting_pod(pod))}
    cares: list[Care] = []
    for report in reports:
        namespace, data = namespace_of(report), report.get("data") or {}
        about = packages_of(report)
        image = images.get((namespace, name_of(report)))
        if data.get("server") not in servers or about is None or not about <= set(there.get(namespace, ())):
            cares.append(Care(report, delete=True))
        elif image and data.get("imageDigest") != image:
            cares.append(Care(report, patch={"data": {"imageDigest": image}}))
    return cares
