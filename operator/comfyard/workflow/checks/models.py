"""Whether the bundles of a template provide the files that it names, and loaders take files of that kind."""

import posixpath
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from comfyard.api.workflow_template import WorkflowTemplateSpec
from comfyard.workflow.findings import Finding, alike, error, listed
from comfyard.workflow.models import Use, model_choices, model_uses
from comfyard.workflow.object_info import Knowledge

MODEL_SUFFIXES = frozenset({".ckpt", ".pt", ".pt2", ".bin", ".pth", ".safetensors", ".pkl", ".sft"})
"""What ComfyUI lists in a model folder (folder_paths.py, supported_pt_extensions)."""

_OTHER_SUFFIXES: Mapping[str, frozenset[str]] = {"configs": frozenset({".yaml"})}
_ANY_SUFFIX = frozenset({"diffusers", "classifiers"})
"""Folders whose entries are directories, or files without a suffix."""


def check_model_names(spec: WorkflowTemplateSpec, knowledge: Knowledge) -> Iterator[Finding]:
    """Names that no loader takes, whatever the bundles provide."""
    for use in model_uses(spec, knowledge):
        folder, name = use.path.split("/", 1)
        suffix = posixpath.splitext(name)[1].lower()
        taken = _OTHER_SUFFIXES.get(folder, MODEL_SUFFIXES)
        if "\\" in name:
            fixed = name.replace("\\", "/")
            yield error(use.place, f'{use.by}: "{name}" has the separator of Windows; write "{fixed}"')
        elif not name or name.startswith("/") or ".." in name.split("/"):
            yield error(use.place, f'{use.by}: "{name}" is no file below folder {folder}; name one without leading /')
        elif folder not in _ANY_SUFFIX and suffix not in taken:
            kinds = listed(sorted(taken))
            yield error(use.place, f'{use.by}: loaders of folder {folder} do not take "{name}", only {kinds}')


def check_provided(
    spec: WorkflowTemplateSpec, provided: Collection[str], skipped: Collection[str], knowledge: Knowledge
) -> list[Finding]:
    """Whether every file that the template names is provided.

    Args:
        spec: The template.
        provided: Paths that its bundles provide.
        skipped: Those of its bundles that no profile wants.
        knowledge: Of the inputs that name files.
    """
    return [error(u.place, _unprovided(spec, u, provided, skipped)) for u in _unique(spec, knowledge, provided)]


def _unique(spec: WorkflowTemplateSpec, knowledge: Knowledge, provided: Collection[str]) -> list[Use]:
    return list({use.path: use for use in reversed(model_uses(spec, knowledge)) if use.path not in provided}.values())[
        ::-1
    ]


def _unprovided(spec: WorkflowTemplateSpec, use: Use, provided: Collection[str], skipped: Collection[str]) -> str:
    names = listed(bundle.name for bundle in spec.bundles)
    message = f"{use.by}: no bundle of spec.bundles ({names}) provides {use.path}; add the file to one of them"
    if use.path in skipped:
        return f"{message}, or a profile that wants it to the spec.profiles of the one that leaves it out"
    meant = alike(use.path, provided)
    return message + (f" (provided is {meant}: is that meant?)" if meant else "")


def model_value_problems(
    spec: WorkflowTemplateSpec, values: Mapping[str, Any], provided: Collection[str]
) -> list[Finding]:
    """Whether what a job gives for its Models is among the files that the template's bundles provide."""
    choices = model_choices(spec, provided)
    return [
        error(
            ("spec", "parameters", name),
            f'parameter {name}: no bundle of the template provides "{values[name]}"; provided are: {listed(there)}',
        )
        for name, there in choices.items()
        if name in values and values[name] not in there
    ]
