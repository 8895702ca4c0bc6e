"""What the operator's administrator decides, from the environment (the chart's values)."""

import secrets
import socket
from ipaddress import ip_address
from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from comfyard.api.model_bundle import AccessMode, ClaimTemplate, read_write_once


def _made_up_name() -> str:
    return f"{socket.gethostname()}-{secrets.token_hex(4)}"


class Settings(BaseSettings):
    """Environment variables of the operator, each with the prefix COMFYARD_.

    Attributes:
        image: The image of the operator itself, from which agents and store syncs run too.
        models_claim: The claim of a bundle that names none; made in the bundle's namespace when it is not there.
        results_claim: The claim for results of a job that names no output; made likewise.
        pod_ips: The operator's own addresses, separated by commas: the IP versions that pods have here.
        probe_port: Where kubelet asks whether the operator lives.
        stuck_seconds: A server that shows no progress for so long is restarted.
        resync_seconds: How often everything is listed again, to heal what a watch has missed.
        namespace: The operator's own; its replicas agree in a Lease there which of them leads.
        pod_name: What this replica is called there; made up where there is no pod. No two may share it.
        writes_per_second: So many requests that write go to the API server in the long run.
        write_burst: So many may go at once after a quiet time.
    """

    model_config = SettingsConfigDict(env_prefix="COMFYARD_")

    image: str
    image_pull_policy: str = "IfNotPresent"
    models_claim: str = "comfyard-models"
    models_size: str = "100Gi"
    results_claim: str = "comfyard-results"
    results_size: str = "10Gi"
    storage_class: str = ""
    access_modes: list[AccessMode] = Field(default_factory=read_write_once)
    stuck_seconds: Annotated[int, Field(ge=1)] = 300
    pod_ips: str = "127.0.0.1"
    probe_port: int = 8080
    resync_seconds: Annotated[float, Field(gt=0)] = 300
    namespace: str = "comfyard-system"
    pod_name: str = Field(default_factory=_made_up_name)
    writes_per_second: Annotated[float, Field(gt=0)] = 200
    write_burst: Annotated[int, Field(ge=1)] = 400

    def claim_template(self, size: str) -> ClaimTemplate:
        """The default shape of a claim that the operator makes."""
        return ClaimTemplate(
            size=size, storage_class_name=self.storage_class or None, access_modes=list(self.access_modes)
        )

    def ip_families(self) -> list[int]:
        """4, 6 or both."""
        return sorted({ip_address(text).version for text in self.pod_ips.split(",")})
