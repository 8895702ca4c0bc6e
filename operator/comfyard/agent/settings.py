"""What the pod tells the agent, from the environment."""

from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from comfyard.comfyui.execution import Limits

_OBEY_SECONDS = 30
"""That ComfyUI is given to obey an interrupt, unless it is taken for stuck sooner."""


def _names(value: object) -> object:
    return [name for name in value.split(",") if name] if isinstance(value, str) else value


class Settings(BaseSettings):
    """Environment variables of the agent, each with the prefix COMFYARD_.

    Attributes:
        namespace: Of this server and its jobs.
        server: The pod's name, which jobs are assigned to.
        gpus: How many this server has, for what a job has cost.
        comfyui_url: On loopback; ComfyUI knows no authentication.
        image: Of ComfyUI's container, as its pod names it.
        output_directory: ComfyUI's, shared with it.
        input_directory: Likewise.
        inputs_directory: Where claims that jobs take inputs from are mounted, by name.
        results_directory: Where the claim for results is mounted.
        results_claim: Its name; empty when there is none.
        node_report: The ConfigMap that this server's node classes are told in; empty: in none.
        custom_nodes: Folders of the packages that ComfyUI is to have imported, with commas in between.
        warm_up: A file with the graph to render before the first job, in API format; unset: there is none.
        termination_log: The file of our container that kubelet shows when it has ended.
        run_directory: For marker files that probes and hooks of ComfyUI's container look for.
        stuck_seconds: Without any progress, before ComfyUI is taken for stuck.
        drain_seconds: That a running job is given after SIGTERM.
        lost_seconds: Without contact to the API server, before the work is stopped.
        store_seconds: That a file's storing is tried again for.
        fetch_seconds: That an input's fetching is tried again for.
        input_bytes: That an input may have.
        port: Of the probes.
    """

    model_config = SettingsConfigDict(env_prefix="COMFYARD_")

    namespace: str
    server: str
    gpus: Annotated[int, Field(ge=0)] = 0
    comfyui_url: str = "http://127.0.0.1:8188"
    image: Annotated[str, Field(max_length=512)] = ""
    output_directory: Path = Path("/comfyui/output")
    input_directory: Path = Path("/comfyui/input")
    inputs_directory: Path = Path("/inputs")
    results_directory: Path = Path("/results")
    results_claim: str = ""
    node_report: str = ""
    custom_nodes: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_names)] = ()
    warm_up: Path | None = None
    termination_log: Path = Path("/dev/termination-log")
    run_directory: Path = Path("/comfyard/run")
    stuck_seconds: Annotated[float, Field(gt=0)] = 300
    drain_seconds: Annotated[float, Field(ge=0)] = 15
    lost_seconds: Annotated[float, Field(gt=0)] = 30
    store_seconds: Annotated[float, Field(ge=0)] = 60
    fetch_seconds: Annotated[float, Field(ge=0)] = 60
    input_bytes: Annotated[int, Field(ge=1)] = 2 * 1024**3
    port: int = 8189

    @property
    def limits(self) -> Limits:
        """When patience with ComfyUI ends."""
        return Limits(stuck_seconds=self.stuck_seconds, stop_seconds=min(_OBEY_SECONDS, self.stuck_seconds))
