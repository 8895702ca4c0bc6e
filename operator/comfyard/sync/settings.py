"""What the operator tells the store sync, by its environment."""

from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

Seconds = Annotated[float, Field(ge=0)]


class Settings(BaseSettings):
    """Environment variables of the store sync, each with the prefix COMFYARD_.

    Attributes:
        namespace: Whose bundles.
        claim: Which of them: those on this claim.
        inventory: Name of the ConfigMap to leave word in of what is on the claim.
        store_directory: Where the claim is mounted.
        sources_directory: Where other claims are mounted that files come from, each under its name.
        parallel_files: Files that are fetched or verified at once.
        report_seconds: Between two reports while nothing but bytes has changed.
        linger_seconds: How long to stay for more when everything is settled; a new pod would take longer to start.
        lock_seconds: How long to wait for another sync to let go of the claim.
    """

    model_config = SettingsConfigDict(env_prefix="COMFYARD_")

    namespace: str
    claim: str
    inventory: str
    store_directory: Path = Path("/models")
    sources_directory: Path = Path("/sources")
    parallel_files: Annotated[int, Field(ge=1, le=16)] = 2
    report_seconds: Seconds = 2.0
    linger_seconds: Seconds = 5.0
    lock_seconds: Seconds = 60.0
