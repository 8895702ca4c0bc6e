"""What there is to tell of one bundle: its files, what has to leave, its custom nodes. Pure."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import TypeVar

from comfyard.api.model_bundle import CustomNodeStatus, ModelBundle, ModelFile
from comfyard.store.contents.checks import admit
from comfyard.store.errors import (
    ForbiddenError,
    LicenceRequiredError,
    NotFoundError,
    PathConflictError,
    PickleRefusedError,
    UnauthorizedError,
)
from comfyard.store.wants import Want
from comfyard.sync.states import FileState, NodeState, failed
from comfyard.sync.wanted import InPlace, Removal, Wanted

S = TypeVar("S", FileState, NodeState)

MAY_NEED_CREDENTIALS = frozenset(
    error.reason for error in (UnauthorizedError, ForbiddenError, LicenceRequiredError, NotFoundError)
)
"""What sources say of a file when the right Secret is not shown; many do not tell a stranger that it is there."""


@dataclass(frozen=True)
class Trouble:
    """What is wrong with the Secrets that a bundle names.

    Attributes:
        message: For a person.
        passing: It may well be over in a moment: the operator lets us read what a bundle names only just now.
    """

    message: str
    passing: bool


@dataclass(frozen=True)
class Sight:
    """What is known of the claim.

    Attributes:
        wanted: What it must hold.
        file: The state of a file; None before the first look at it.
        node: The state of custom nodes by commit; likewise.
        removed: Removals that were carried out.
    """

    wanted: Wanted
    file: Callable[[Want], FileState | None]
    node: Callable[[str], NodeState | None]
    removed: Collection[Removal] = ()


@dataclass(frozen=True)
class Told:
    """What there is to tell of one bundle.

    Attributes:
        files: What it wants, by path in order.
        leaving: What it does not want any more and is still there, likewise.
        nodes: Its custom nodes by name and commit.
    """

    files: tuple[tuple[str, FileState], ...] = ()
    leaving: tuple[tuple[str, FileState], ...] = ()
    nodes: tuple[tuple[str, str, NodeState], ...] = ()

    @property
    def settled(self) -> bool:
        """Whether nothing is left to do."""
        files = all(state.settled for _, state in self.files)
        return files and not self.leaving and all(state.settled for _, _, state in self.nodes)


def tell(bundle: ModelBundle, sight: Sight, there: InPlace, trouble: Trouble | None = None) -> Told | None:
    """What there is to tell of a bundle; None while a part of it has not been looked at yet.

    Args:
        bundle: The bundle.
        sight: What is known of the claim.
        there: What was put in place for the bundle.
        trouble: What is wrong with its Secrets.
    """
    files: list[tuple[str, FileState]] = []
    for model in bundle.wanted_models():
        state = _file(model, sight)
        if state is None:
            return None
        files.append((model.path, _explained(state, trouble)))
    nodes = _nodes(bundle, sight, there)
    if nodes is None:
        return None
    told = [(name, commit, _explained(state, trouble)) for name, commit, state in nodes]
    return Told(tuple(files), tuple(_leaving(bundle, sight)), tuple(told))


def _file(model: ModelFile, sight: Sight) -> FileState | None:
    conflict = sight.wanted.conflicts.get(model.path)
    if conflict:
        return failed(PathConflictError(conflict))
    try:  # another bundle may allow what this one does not
        admit(Want(model.path, model.source, model.sha256, model.allow_pickle))
    except PickleRefusedError as error:
        return failed(error)
    return sight.file(sight.wanted.files[model.path].want)


def _leaving(bundle: ModelBundle, sight: Sight) -> list[tuple[str, FileState]]:
    return [
        (
            removal.path,
            FileState(reason=removal.held or "Removing", message=removal.message, sha256=removal.sha256),
        )
        for removal in sight.wanted.removals
        if removal.uid == bundle.metadata.uid and removal not in sight.removed
    ]


def _nodes(bundle: ModelBundle, sight: Sight, there: InPlace) -> list[tuple[str, str, NodeState]] | None:
    """Its custom nodes; while jobs run, those that they run with instead of others of the same name."""
    used = there.nodes if bundle.status.in_use else {}
    nodes: list[tuple[str, str, NodeState]] = []
    for node in bundle.wanted_nodes():
        commit = node.git.commit
        before = used.get(node.name)
        state = sight.node(commit)
        if before and before.commit != commit:
            nodes.append(_used(before))
        elif state:
            nodes.append((node.name, commit, state))
        else:
            return None
    wanted = {node.name for node in bundle.wanted_nodes()}
    return nodes + [_used(row) for name, row in sorted(used.items()) if name not in wanted]


def _used(row: CustomNodeStatus) -> tuple[str, str, NodeState]:
    message = f"jobs run with commit {row.commit[:12]}; the change is made when they have ended"
    return row.name, row.commit, NodeState("Pending", "InUse", message, row.tree)


def _explained(state: S, trouble: Trouble | None) -> S:
    """With the reason behind the reason."""
    if trouble is None or state.reason not in MAY_NEED_CREDENTIALS:
        return state
    if trouble.passing:
        return replace(state, state="Pending", message=trouble.message)
    return replace(state, message=f"{trouble.message}; {state.message}")
