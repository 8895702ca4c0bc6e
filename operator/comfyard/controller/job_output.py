"""Where a job's results go: the job says it, or else its template, its namespace, the operator."""

from collections.abc import Iterator

from comfyard.api.meta import ANNOTATION_OUTPUT
from comfyard.api.output import OutputStore, parse_output
from comfyard.controller.job_observed import Observed, Wait

_EXAMPLE = '{"claim": {"name": "results"}}'


def decide_output(namespace: str, ordered: OutputStore | None, seen: Observed) -> OutputStore:
    """Place and form, each as the first says who says it at all. A place that nobody names is the operator's claim.

    Raises Wait for an annotation that cannot be read, unless job and template leave it nothing to say.

    Args:
        namespace: Of the job.
        ordered: What the job itself says.
        seen: What is around it.
    """
    place, form = OutputStore(), None
    for said in _chain(namespace, ordered, seen):
        if not place.names_a_place:
            place = said
        form = form or said.metadata
        if place.names_a_place and form:
            break
    return OutputStore(s3=place.s3, claim=place.claim, metadata=form or "Embed")


def _chain(namespace: str, ordered: OutputStore | None, seen: Observed) -> Iterator[OutputStore]:
    if ordered:
        yield ordered
    if seen.template and seen.template.spec.output:
        yield seen.template.spec.output
    if seen.output_annotation:
        yield _read(namespace, seen.output_annotation)


def _read(namespace: str, annotation: str) -> OutputStore:
    try:
        return parse_output(annotation)
    except ValueError as error:
        raise Wait(
            "InvalidOutputAnnotation",
            f"annotation {ANNOTATION_OUTPUT} of namespace {namespace} says no place for results: {error}; "
            f"correct it, such as to {_EXAMPLE}, or remove it",
        ) from error


def results_claim(output: OutputStore, seen: Observed) -> str:
    """The claim that a server needs for these results; empty when they go to S3. Raises Wait when it is not there."""
    if output.s3:
        return ""
    if output.claim is None:
        return seen.results_claim
    name = output.claim.name
    if name not in seen.claims:
        raise Wait(
            "ClaimNotFound",
            f'PersistentVolumeClaim "{name}", where the results go (status.output), does not exist; create it',
        )
    return name
