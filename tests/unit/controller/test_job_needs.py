"""What jobs of one template need is found once, and is the same as if each was looked at alone."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from comfyard.api.workflow_template import WorkflowTemplateSpec
from comfyard.controller.job_memory import fit
from comfyard.controller.job_models import models_for
from comfyard.controller.job_needs import needs_of
from comfyard.workflow.memory import deciding
from tests.builders import bundle, graph, profile, template_spec
from tests.unit.controller.planning import observed

FILES = ("sd15.safetensors", "other.safetensors")


def spec() -> WorkflowTemplateSpec:
    nodes = graph()
    nodes["4"]["inputs"]["ckpt_name"] = "{{model}}"
    nodes["5"]["inputs"]["width"] = "{{width}}"
    nodes["9"]["inputs"]["filename_prefix"] = "{{prompt}}"
    more = [
        {"name": "model", "type": "Model", "default": FILES[0]},
        {"name": "width", "type": "Integer", "default": 64},
    ]
    return WorkflowTemplateSpec.model_validate(
        template_spec(graph=nodes, parameters=[*template_spec()["parameters"], *more])
    )


CONTENT = spec()
PROFILE = profile(gpu={"count": 1, "memory": "3Gi"})


def seen() -> Any:
    rows = [
        {
            "path": f"checkpoints/{name}",
            "state": "Ready",
            "sha256": digit * 64,
            "kind": "Checkpoint",
            "dtype": "F16",
            "tensorBytes": size,
        }
        for name, digit, size in ((FILES[0], "a", 1 << 30), (FILES[1], "b", 4 << 30))
    ]
    models = [{"path": row["path"], "source": {"existing": {}}, "sha256": row["sha256"]} for row in rows]
    whole = bundle()
    made = whole.model_dump(by_alias=True, exclude_none=True, mode="json")
    made["spec"]["models"] = models
    made["status"]["models"] = rows
    return observed(content=CONTENT, bundles={"sd15": type(whole).model_validate(made)})


SEEN = seen()


def test_only_what_names_files_or_makes_a_latent_decides() -> None:
    assert deciding(CONTENT) == {"model", "width"}


@given(
    st.fixed_dictionaries(
        {
            "model": st.sampled_from(FILES),
            "width": st.sampled_from([64, 2048]),
            "prompt": st.text(max_size=8),
            "steps": st.integers(1, 60),
        }
    )
)
def test_jobs_that_share_what_was_found_would_have_found_the_same(values: dict[str, Any]) -> None:
    needs = needs_of(CONTENT, values, PROFILE, SEEN)
    alone = models_for(CONTENT, values, PROFILE, SEEN)
    assert [(m.path, m.sha256) for m in needs.models] == [(row.path, row.sha256) for row in alone.used]
    assert needs.digests == {row.sha256 for row in alone.used}
    assert (needs.claims, needs.nodes, needs.packages) == (alone.claims, alone.nodes, alone.packages)
    assert needs.fit == fit(alone.graph, {row.path: row for row in alone.used}, PROFILE)


def test_another_version_of_a_bundle_is_looked_at() -> None:
    values = {"model": FILES[0], "width": 64, "prompt": "x", "steps": 1}
    first = needs_of(CONTENT, values, PROFILE, SEEN)
    assert needs_of(CONTENT, {**values, "prompt": "y"}, PROFILE, SEEN) is first
    assert needs_of(CONTENT, values, PROFILE, seen()) is not first
