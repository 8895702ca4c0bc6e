"""From the bundles on a claim to the files that it must hold. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import groupby

from comfyard.api.model_bundle import ModelBundle, ModelFile
from comfyard.store.wants import Want


@dataclass(frozen=True)
class Wanted:
    """What a claim must hold.

    Attributes:
        files: By path.
        conflicts: Paths that cannot be had, and why.
    """

    files: Mapping[str, Want] = field(default_factory=dict)
    conflicts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Claimant:
    bundle: str
    model: ModelFile

    @property
    def want(self) -> Want:
        return Want(self.model.path, self.model.source, self.model.sha256)


def on_claim(bundles: Iterable[ModelBundle], claim: str) -> list[ModelBundle]:
    """The bundles that the operator has put on a claim, oldest first; those being deleted want nothing any more."""
    mine = [b for b in bundles if b.status.claim_name == claim and not b.metadata.deletion_timestamp]
    return sorted(mine, key=lambda b: (b.metadata.creation_timestamp, b.metadata.name))


def wanted_by(bundles: Iterable[ModelBundle]) -> Wanted:
    """What they want together. A path on which they do not agree is nobody's, and both are told."""
    claimants: dict[str, list[_Claimant]] = {}
    for bundle in bundles:
        for model in bundle.spec.models:
            claimants.setdefault(model.path, []).append(_Claimant(bundle.metadata.name, model))
    conflicts = _folders_that_are_files(claimants)
    for path, of_path in claimants.items():
        if not _agree(of_path):
            conflicts[path] = f"bundles want different files under this path: {_list(of_path)}; change one's path"
    files = {path: _choose(of_path) for path, of_path in claimants.items() if path not in conflicts}
    return Wanted(files, conflicts)


def _agree(claimants: list[_Claimant]) -> bool:
    """One digest, or the same source for those that name none: what it gives is then what the digest says."""
    digests = {c.model.sha256 for c in claimants if c.model.sha256}
    open_sources = {c.want.source_key for c in claimants if not c.model.sha256}
    if not open_sources:
        return len(digests) == 1
    return len(digests) <= 1 and len({c.want.source_key for c in claimants}) == 1


def _choose(claimants: list[_Claimant]) -> Want:
    """The oldest bundle's, but a digest is better than none."""
    return next((c.want for c in claimants if c.model.sha256), claimants[0].want)


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


def _list(claimants: list[_Claimant]) -> str:
    by_bundle = groupby(claimants, key=lambda c: c.bundle)
    return ", ".join(f"{bundle} ({_content(next(models))})" for bundle, models in by_bundle)


def _content(claimant: _Claimant) -> str:
    return f"sha256 {claimant.model.sha256[:12]}…" if claimant.model.sha256 else "whatever its source gives"
