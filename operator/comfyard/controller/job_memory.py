"""Whether what a job loads fits into the VRAM of a profile: no failure if not, but somebody should know it is slow."""

from collections.abc import Mapping
from dataclasses import dataclass

from lightkube.utils.quantity import parse_quantity

from comfyard.api.hardware_profile import HardwareProfile
from comfyard.api.model_bundle import ModelStatus
from comfyard.workflow.graph import Graph
from comfyard.workflow.memory import Estimate, estimate

_GIB = 2**30


@dataclass(frozen=True)
class Fit:
    """Whether a job fits.

    Attributes:
        fits: None: nobody can tell.
        message: Why it does not, and what to do.
    """

    fits: bool | None
    message: str = ""


UNKNOWN = Fit(None)


def fit(graph: Graph, rows: Mapping[str, ModelStatus], profile: HardwareProfile) -> Fit:
    """Whether what a job loads fits into a GPU of a profile.

    Args:
        graph: The job's, with its values in place, and without the nodes that no output needs.
        rows: What is known of the files that it names, by path.
        profile: The one that it is to run on.
    """
    has = vram(profile)
    needs = None if has is None else estimate(graph, rows)
    if has is None or needs is None:
        return UNKNOWN
    return Fit(fits=True) if needs.bytes <= has else Fit(fits=False, message=_words(needs, has, profile))


def vram(profile: HardwareProfile) -> int | None:
    """Bytes of one GPU, which is all that ComfyUI uses; None when the profile does not tell, or has none."""
    gpu = profile.spec.gpu
    amount = parse_quantity(str(gpu.memory)) if gpu.count and gpu.memory is not None else None
    return None if amount is None else int(amount)


def _words(needs: Estimate, has: int, profile: HardwareProfile) -> str:
    return (
        f"{needs.step} with {', '.join(needs.files)} needs about {needs.bytes / _GIB:.1f}Gi of VRAM "
        f"({needs.weights / _GIB:.1f}Gi of weights), and a GPU of profile {profile.metadata.name} has "
        f"{has / _GIB:.1f}Gi (spec.gpu.memory): ComfyUI copies weights from main memory at every step, which is slow; "
        "order with a larger profile first in spec.profiles, or with a smaller variant of the file, such as fp8"
    )
