"""What all our pods share: the `restricted` Pod Security Standard, and a token in one container only."""

from lightkube.models.core_v1 import (
    Capabilities,
    ConfigMapProjection,
    DownwardAPIProjection,
    DownwardAPIVolumeFile,
    KeyToPath,
    ObjectFieldSelector,
    PodSecurityContext,
    ProjectedVolumeSource,
    SeccompProfile,
    SecurityContext,
    ServiceAccountTokenProjection,
    Volume,
    VolumeMount,
    VolumeProjection,
)

UID = 65532
TOKEN_VOLUME = "api-token"  # noqa: S105 - the name of a volume
_TOKEN_SECONDS = 3600

LAST_WORDS = "FallbackToLogsOnError"
"""terminationMessagePolicy of our containers: why one ends is in its pod's status, in the last lines of its log."""

TOKEN_MOUNT = VolumeMount(name=TOKEN_VOLUME, mountPath="/var/run/secrets/kubernetes.io/serviceaccount", readOnly=True)


def pod_security() -> PodSecurityContext:
    """Non-root, files of volumes readable by the group; a large volume is not walked again at each start (KEP-695)."""
    return PodSecurityContext(
        runAsNonRoot=True,
        runAsUser=UID,
        runAsGroup=UID,
        fsGroup=UID,
        fsGroupChangePolicy="OnRootMismatch",
        seccompProfile=SeccompProfile(type="RuntimeDefault"),
    )


def container_security() -> SecurityContext:
    """No privileges, no capabilities, a read-only root."""
    return SecurityContext(
        allowPrivilegeEscalation=False, readOnlyRootFilesystem=True, capabilities=Capabilities(drop=["ALL"])
    )


def token_volume() -> Volume:
    """The ServiceAccount's token as kubelet would mount it everywhere, for the one container that mounts it.

    ComfyUI runs whatever code custom nodes bring, so its container must not have a token.
    """
    return Volume(
        name=TOKEN_VOLUME,
        projected=ProjectedVolumeSource(
            sources=[
                VolumeProjection(
                    serviceAccountToken=ServiceAccountTokenProjection(path="token", expirationSeconds=_TOKEN_SECONDS)
                ),
                VolumeProjection(
                    configMap=ConfigMapProjection(
                        name="kube-root-ca.crt", items=[KeyToPath(key="ca.crt", path="ca.crt")]
                    )
                ),
                VolumeProjection(
                    downwardAPI=DownwardAPIProjection(
                        items=[
                            DownwardAPIVolumeFile(
                                path="namespace", fieldRef=ObjectFieldSelector(fieldPath="metadata.namespace")
                            )
                        ]
                    )
                ),
            ]
        ),
    )
