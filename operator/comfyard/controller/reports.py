"""What the store sync's report on a bundle means: conditions, and the digest of the content."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from comfyard.api.conditions import ConditionSet
from comfyard.api.hardware_profile import ModelSelection
from comfyard.api.model_bundle import CustomNodeStatus, ModelBundle, ModelStatus
from comfyard.controller.trouble import Trouble
from comfyard.workflow.digest import digest

_LIST_BOUND = 3000
"""Characters of a list of failures; what does not fit is counted."""


@dataclass(frozen=True)
class _Row:
    """A file or a package of custom nodes."""

    what: str
    row: ModelStatus | CustomNodeStatus

    @property
    def words(self) -> str:
        """What it is, and what is to be said of it."""
        return f"{self.what}: {self.row.message or self.row.reason}"


def _rows(bundle: ModelBundle) -> Iterator[_Row]:
    for model in bundle.status.models:
        yield _Row(model.path, model)
    for node in bundle.status.custom_nodes:
        yield _Row(f"custom node {node.name}", node)


def is_reported(bundle: ModelBundle) -> bool:
    """Whether the sync has told of everything that the bundle wants as it is now."""
    status = bundle.status
    return (
        status.synced_generation == bundle.metadata.generation
        and {row.path for row in status.models} == {model.path for model in bundle.wanted_models()}
        and {row.name for row in status.custom_nodes} == {node.name for node in bundle.wanted_nodes()}
    )


def has_all(bundle: ModelBundle, selection: ModelSelection) -> bool:
    """Whether everything is there that hardware with this selection uses, whatever is missing for other hardware."""
    if bundle.metadata.deletion_timestamp or not is_reported(bundle):
        return False
    there = {row.path for row in bundle.status.models if row.state == "Ready"}
    wanted = {model.path for model in bundle.wanted_models() if selection.wants(model.tags)}
    return wanted <= there and all(row.state == "Ready" for row in bundle.status.custom_nodes)


def is_synced(bundle: ModelBundle) -> bool:
    """Whether the sync has settled everything that the bundle wants: there, failed for good, or not to be fetched."""
    return is_reported(bundle) and all(_is_settled(bundle, row) for row in _rows(bundle))


def _is_settled(bundle: ModelBundle, row: _Row) -> bool:
    waits = bundle.spec.suspend and row.row.state == "Pending" and row.row.reason == "Suspended"
    return waits or row.row.state in {"Ready", "Failed"}


def failed_reasons(bundle: ModelBundle) -> set[str]:
    """Why things have failed, of a bundle that is synced."""
    return {row.row.reason for row in _rows(bundle) if row.row.state == "Failed"}


def judge(bundle: ModelBundle, conditions: ConditionSet, sync_trouble: Trouble | None) -> None:
    """Set the conditions of a bundle whose claim is fine."""
    rows = list(_rows(bundle)) if bundle.status.synced_generation == bundle.metadata.generation else []
    failed = [row for row in rows if row.row.state == "Failed"]
    progress = _progress(bundle, rows)
    if is_reported(bundle) and all(row.row.state == "Ready" for row in rows):
        conditions.ready("Verified", progress + _left_out(bundle))
    elif bundle.spec.suspend:
        conditions.reconciling("Suspended", f"{progress}; suspended: set spec.suspend to false to go on")
    elif is_synced(bundle) and failed:
        conditions.stalled(failed[0].row.reason or "Failed", join_bounded([row.words for row in failed]))
    elif sync_trouble:
        conditions.reconciling(sync_trouble.reason, f"the store sync does not run: {sync_trouble.message}")
    else:
        trouble = next((row for row in rows if row.row.reason), None)
        reason = trouble.row.reason if trouble else "Fetching"
        conditions.reconciling(reason, f"{progress}; {trouble.words}" if trouble else progress)


def _progress(bundle: ModelBundle, rows: Sequence[_Row]) -> str:
    """What is there of what is wanted. Bytes only once all are: or every report would be one more write of ours."""
    ready = [row for row in rows if row.row.state == "Ready"]
    files = [row.row for row in ready if isinstance(row.row, ModelStatus)]
    text = f"{len(files)} of {len(bundle.wanted_models())} files"
    if bundle.spec.custom_nodes:
        text += f", {len(ready) - len(files)} of {len(bundle.spec.custom_nodes)} custom nodes"
    if is_reported(bundle) and len(ready) == len(rows):
        text += f", {_human(sum(row.size or 0 for row in files))}, verified"
    return text


def _left_out(bundle: ModelBundle) -> str:
    skipped = len(bundle.spec.models) - len(bundle.wanted_models())
    return f"; {skipped} left out by spec.profiles" if skipped else ""


def digest_of(bundle: ModelBundle) -> str:
    """Names the exact content of a bundle that has everything; empty before."""
    if not is_reported(bundle) or any(row.row.state != "Ready" for row in _rows(bundle)):
        return ""
    files = {row.path: row.sha256 for row in bundle.status.models}
    commits = {node.name: node.git.commit for node in bundle.wanted_nodes()}
    if not commits:
        return digest(files)
    trees = {row.name: row.tree for row in bundle.status.custom_nodes}
    return digest({"models": files, "customNodes": {name: [commits[name], trees[name]] for name in commits}})


def join_bounded(parts: Sequence[str]) -> str:
    """All of them, or as many as a person can be expected to read, and how many more there are."""
    shown: list[str] = []
    for part in parts:
        if shown and sum(map(len, shown)) + len(part) > _LIST_BOUND:
            return f"{'; '.join(shown)}; … and {len(parts) - len(shown)} more"
        shown.append(part)
    return "; ".join(shown)


def _human(size: int) -> str:
    amount = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:  # noqa: PLR2004 - SI units
            return f"{amount:.3g} {unit}"
        amount /= 1000
    return f"{amount:.3g} TB"
