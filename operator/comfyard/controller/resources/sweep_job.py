"""The jobs of a sweep: one GenerationJob for each set of parameters, named by its number."""

from comfyard.api.generation_sweep import GenerationSweep
from comfyard.api.meta import ANNOTATION_INDEX, FINALIZER_SWEEP, LABEL_MANAGED_BY, LABEL_SWEEP, MANAGED_BY
from comfyard.kube.kinds import GENERATION_SWEEP, Obj
from comfyard.workflow.sweeps import parameters_of


def job_name(sweep: str, index: int) -> str:
    """The name of a job; a sweep's name is short enough for it."""
    return f"{sweep}-{index}"


def index_of(sweep: str, name: str) -> int | None:
    """Which job of the sweep has that name. The name decides, as annotations may be changed."""
    number = name.removeprefix(f"{sweep}-")
    return int(number) if number.isdecimal() and name == job_name(sweep, int(number)) else None


def build_sweep_job(sweep: GenerationSweep, index: int) -> Obj:
    """The job, ready to create. It goes with the sweep, and not before the sweep has counted it."""
    template = sweep.spec.job_template
    spec = template.spec.model_copy(update={"parameters": parameters_of(sweep.spec, index)})
    return {
        "metadata": {
            "name": job_name(sweep.metadata.name, index),
            "namespace": sweep.metadata.namespace,
            "labels": {
                **template.metadata.labels,
                LABEL_MANAGED_BY: MANAGED_BY,
                LABEL_SWEEP: sweep.metadata.name,
            },
            "annotations": {**template.metadata.annotations, ANNOTATION_INDEX: str(index)},
            "finalizers": [FINALIZER_SWEEP],
            "ownerReferences": [
                {
                    "apiVersion": GENERATION_SWEEP.api_version,
                    "kind": GENERATION_SWEEP.kind,
                    "name": sweep.metadata.name,
                    "uid": sweep.metadata.uid,
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": spec.to_api(),
    }
