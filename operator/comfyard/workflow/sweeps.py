"""The sets of parameters of a sweep: how many there are, what each is, and what is wrong with them."""

import math
from collections.abc import Mapping
from typing import Any

from comfyard.api.generation_sweep import GenerationSweepSpec
from comfyard.api.workflow_template import WorkflowTemplateSpec
from comfyard.workflow.digest import digest
from comfyard.workflow.findings import errors
from comfyard.workflow.parameters import Values, check_inputs


def total_of(spec: GenerationSweepSpec) -> int:
    """How many jobs the sweep has."""
    if spec.sets is not None:
        return len(spec.sets)
    return math.prod(len(axis.values) for axis in spec.matrix or [])


def parameters_of(spec: GenerationSweepSpec, index: int) -> dict[str, Any]:
    """The parameters of one job: those that all share, and its own, which go first."""
    return {**spec.job_template.spec.parameters, **_own(spec, index)}


def _own(spec: GenerationSweepSpec, index: int) -> Mapping[str, Any]:
    if spec.sets is not None:
        return spec.sets[index]
    values: dict[str, Any] = {}
    for axis in reversed(spec.matrix or []):
        index, at = divmod(index, len(axis.values))
        values[axis.parameter] = axis.values[at]
    return values


def digest_of(spec: GenerationSweepSpec) -> str:
    """Names the parameters of all jobs: what the API server's rules cannot keep from being changed in every case."""
    matrix = None if spec.matrix is None else [axis.to_api() for axis in spec.matrix]
    return digest([spec.job_template.spec.parameters, matrix, spec.sets])


def check_sets(spec: GenerationSweepSpec, template: WorkflowTemplateSpec) -> dict[str, list[int]]:
    """What is wrong with the jobs' parameters and inputs: each problem, with the fix, and the jobs that have it."""
    everywhere = list(range(total_of(spec)))
    problems = dict.fromkeys(errors(check_inputs(template, spec.job_template.spec.inputs)), everywhere)
    values = Values(template)
    for index in everywhere:
        for problem in values.resolve(parameters_of(spec, index))[1]:
            problems.setdefault(problem, []).append(index)
    return problems
