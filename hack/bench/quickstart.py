"""The quickstart's resources, as benchmarks use them."""

from functools import cache
from pathlib import Path

import yaml

from comfyard.kube.kinds import Obj

QUICKSTART = Path(__file__).parents[2] / "examples" / "quickstart"
PROFILE = "10-hardware-profile.yaml"
BUNDLE = "20-model-bundle.yaml"
TEMPLATE = "30-workflow-template.yaml"


def manifest(file: str) -> str:
    """One of the files above."""
    return (QUICKSTART / file).read_text()


def example(file: str) -> Obj:
    """The resource that is in it."""
    found: Obj = yaml.safe_load(manifest(file))
    return found


@cache
def name_in(file: str) -> str:
    """The name of the resource that is in it."""
    return str(example(file)["metadata"]["name"])


def job(namespace: str, name: str, seed: int, steps: int = 1) -> Obj:
    """An order, for the profile that has the namespace's name."""
    values = {"prompt": "bench", "steps": steps, "width": 64, "height": 64, "seed": seed}
    spec = {"template": {"name": name_in(TEMPLATE)}, "profiles": [namespace], "parameters": values}
    return {"metadata": {"name": name, "namespace": namespace}, "spec": spec}
