"""From the bundles on a claim to what it must hold, and to what must go. Pure."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import groupby

from comfyard.api.model_bundle import CustomNodeStatus, ModelBundle, ModelFile, ModelStatus
from comfyard.store.wants import Want


@dataclass(frozen=True)
class InPlace:
    """What was put in place for one bundle, so far as is known.

    Attributes:
        files: SHA-256 by path.
        nodes: Custom nodes by name.
    """

    files: Mapping[str, str] = field(default_factory=dict)
    nodes: Mapping[str, CustomNodeStatus] = field(default_factory=dict)


def in_place_by(models: Iterable[ModelStatus], nodes: Iterable[CustomNodeStatus]) -> InPlace:
    """What rows of a status remember."""
    return InPlace({row.path: row.sha256 for row in models if row.sha256}, {row.name: row for row in nodes if row.tree})


def in_place_by_status(bundle: ModelBundle) -> InPlace:
    """What the status of a bundle remembers."""
    return in_place_by(bundle.status.models, bundle.status.custom_nodes)


@dataclass(frozen=True)
class Need:
    """One file that must be there, and how to go about it.

    Attributes:
        want: The file.
        fetch: Whether it may be fetched; otherwise only suspended bundles want it.
        replace: Whether another file of ours under its path may go; otherwise jobs run with that.
        verify_every: Seconds after which it is read again; 0: never.
    """

    want: Want
    fetch: bool = True
    replace: bool = True
    verify_every: int = 0


@dataclass(frozen=True)
class NodeNeed:
    """One package of custom nodes that must be there.

    Attributes:
        name: What a bundle calls it.
        url: Its repository.
        commit: Of the repository.
        fetch: As in Need.
    """

    name: str
    url: str
    commit: str
    fetch: bool = True


@dataclass(frozen=True)
class Removal:
    """A file that was put in place for a bundle whose policy is Delete, and that nobody wants any more.

    Attributes:
        uid: The bundle's.
        path: Where the file is.
        sha256: What it is; another file under the path is not ours to remove.
        held: Why it has to stay for now, as one word; empty: it can go.
        message: The same for a person.
    """

    uid: str
    path: str
    sha256: str
    held: str = ""
    message: str = ""


@dataclass(frozen=True)
class Wanted:
    """What a claim must hold.

    Attributes:
        files: By path.
        conflicts: Paths that cannot be had, and why.
        nodes: Custom nodes by commit. One name with two commits is no conflict: they lie apart.
        removals: What must go, sooner or later.
        wants: All that any bundle wants, suspended ones and those in conflict included: none of it is cleared away.
        node_commits: The same for custom nodes, with those that jobs run with.
        held: Whether clearing away has to wait, as not every bundle is known.
    """

    files: Mapping[str, Need] = field(default_factory=dict)
    conflicts: Mapping[str, str] = field(default_factory=dict)
    nodes: Mapping[str, NodeNeed] = field(default_factory=dict)
    removals: tuple[Removal, ...] = ()
    wants: frozenset[Want] = frozenset()
    node_commits: frozenset[str] = frozenset()
    held: bool = False


@dataclass(frozen=True)
class _Claimant:
    bundle: ModelBundle
    model: ModelFile

    @property
    def want(self) -> Want:
        return Want(self.model.path, self.model.source, self.model.sha256, self.model.allow_pickle)


def wanted_by(
    bundles: Iterable[ModelBundle],
    unknown: Collection[str] = (),
    in_place: Callable[[ModelBundle], InPlace] = in_place_by_status,
) -> Wanted:
    """What bundles want together. A path on which they do not agree is nobody's, and all of them are told.

    Args:
        bundles: Oldest first.
        unknown: Names of bundles that may want something too, nobody knows what.
        in_place: What was put in place for a bundle.
    """
    bundles = list(bundles)
    claimants: dict[str, list[_Claimant]] = {}
    for bundle in bundles:
        for model in bundle.wanted_models():
            claimants.setdefault(model.path, []).append(_Claimant(bundle, model))
    conflicts = _folders_that_are_files(claimants)
    for path, of_path in claimants.items():
        if not _agree(of_path):
            conflicts[path] = f"bundles want different files under this path: {_list(of_path)}; change one's path"
    used = {path for bundle in bundles if bundle.status.in_use for path in in_place(bundle).files}
    agreed = {path: of_path for path, of_path in claimants.items() if path not in conflicts}
    return Wanted(
        files={path: _need(of_path, replace=path not in used) for path, of_path in agreed.items()},
        conflicts=conflicts,
        nodes=_nodes(bundles),
        removals=tuple(
            Removal(bundle.metadata.uid, path, sha256, *_held(path, used, unknown))
            for bundle in bundles
            for path, sha256 in _unwanted(bundle, in_place(bundle), claimants.keys())
        ),
        wants=frozenset(claimant.want for of_path in claimants.values() for claimant in of_path),
        node_commits=frozenset(commit for bundle in bundles for commit in _commits(bundle, in_place(bundle))),
        held=bool(unknown),
    )


def _need(claimants: list[_Claimant], *, replace: bool) -> Need:
    """The oldest bundle's file, but a digest is better than none."""
    want = next((c.want for c in claimants if c.model.sha256), claimants[0].want)
    allow = any(c.model.allow_pickle for c in claimants)
    return Need(
        Want(want.path, want.source, want.sha256, allow),
        fetch=any(not c.bundle.spec.suspend for c in claimants),
        replace=replace,
        verify_every=min((every for c in claimants if (every := c.bundle.spec.verify_every_seconds)), default=0),
    )


def _agree(claimants: list[_Claimant]) -> bool:
    """One digest, or the same source for those that name none: what it gives is then what the digest says."""
    digests = {c.model.sha256 for c in claimants if c.model.sha256}
    open_sources = {c.want.source_key for c in claimants if not c.model.sha256}
    if not open_sources:
        return len(digests) == 1
    return len(digests) <= 1 and len({c.want.source_key for c in claimants}) == 1


def _folders_that_are_files(claimants: Mapping[str, list[_Claimant]]) -> dict[str, str]:
    conflicts: dict[str, str] = {}
    for path in claimants:
        parts = path.split("/")
        for depth in range(1, len(parts)):
            above = "/".join(parts[:depth])
            if above in claimants:
                conflicts[path] = f"{above} is a file of {_list(claimants[above])}; change one's path"
                conflicts[above] = f"it is the folder of {path} of {_list(claimants[path])}; change one's path"
    return conflicts


def _unwanted(bundle: ModelBundle, there: InPlace, wanted: Collection[str]) -> list[tuple[str, str]]:
    if bundle.spec.deletion_policy == "Retain":
        return []
    return sorted((path, sha256) for path, sha256 in there.files.items() if path not in wanted)


def _held(path: str, used: Collection[str], unknown: Collection[str]) -> tuple[str, str]:
    """Why a removal has to wait, as a word and for a person; empty when it has not."""
    if path in used:
        return "InUse", "jobs run with it; it is removed when they have ended"
    if unknown:
        return "Removing", f"it is removed when it is known what {', '.join(unknown)} needs"
    return "", ""


def _nodes(bundles: Iterable[ModelBundle]) -> dict[str, NodeNeed]:
    needs: dict[str, NodeNeed] = {}
    for bundle in bundles:
        for node in bundle.wanted_nodes():
            before = needs.get(node.git.commit)
            fetch = not bundle.spec.suspend or (before is not None and before.fetch)
            name, url = (before.name, before.url) if before else (node.name, node.git.url)
            needs[node.git.commit] = NodeNeed(name, url, node.git.commit, fetch)
    return needs


def _commits(bundle: ModelBundle, there: InPlace) -> Iterable[str]:
    yield from (node.git.commit for node in bundle.wanted_nodes())
    if bundle.status.in_use:
        yield from (row.commit for row in there.nodes.values())


def _list(claimants: list[_Claimant]) -> str:
    by_bundle = groupby(claimants, key=lambda c: c.bundle.metadata.name)
    return ", ".join(f"{bundle} ({_content(next(models))})" for bundle, models in by_bundle)


def _content(claimant: _Claimant) -> str:
    return f"sha256 {claimant.model.sha256[:12]}…" if claimant.model.sha256 else "whatever its source gives"
