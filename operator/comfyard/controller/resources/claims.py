"""PersistentVolumeClaims that the operator makes when they are not there. It never deletes one."""

from lightkube.models.core_v1 import PersistentVolumeClaim, PersistentVolumeClaimSpec, VolumeResourceRequirements
from lightkube.models.meta_v1 import ObjectMeta

from comfyard.api.meta import LABEL_MANAGED_BY, MANAGED_BY
from comfyard.api.model_bundle import ClaimTemplate
from comfyard.kube.kinds import Obj


def build_claim(name: str, namespace: str, template: ClaimTemplate) -> Obj:
    """A claim without an owner, so that nothing that is deleted takes the models or results with it."""
    return PersistentVolumeClaim(
        metadata=ObjectMeta(name=name, namespace=namespace, labels={LABEL_MANAGED_BY: MANAGED_BY}),
        spec=PersistentVolumeClaimSpec(
            accessModes=list(template.access_modes),
            storageClassName=template.storage_class_name,
            resources=VolumeResourceRequirements(requests={"storage": str(template.size)}),
        ),
    ).to_dict()
