"""Where results go, and in which form."""

from typing import Annotated, Literal

from pydantic import Field, ValidationError

from comfyard.api.meta import HTTP_ORIGIN, Model, Name


class SecretReference(Model):
    """A Secret of the same namespace; its annotation comfyard.io/hosts must list the host it is sent to."""

    name: Name


class S3Bucket(Model):
    """A bucket, and the keys to it."""

    bucket: Annotated[str, Field(min_length=1, max_length=255)]
    endpoint: Annotated[str, Field(max_length=512, pattern=HTTP_ORIGIN)] | None = Field(
        None, description="For stores other than AWS, such as http://seaweedfs:8333."
    )
    region: Annotated[str, Field(max_length=64)] = "us-east-1"
    secret_ref: SecretReference = Field(description="Keys AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.")


class S3Output(S3Bucket):
    """Results to an S3 bucket."""

    prefix: Annotated[str, Field(max_length=512)] = ""


class ClaimOutput(Model):
    """Results to a PersistentVolumeClaim of the namespace."""

    name: Name
    path: Annotated[
        str, Field(max_length=512, pattern=r"^([A-Za-z0-9_][A-Za-z0-9_.-]*)?(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*$")
    ] = ""


class OutputStore(Model):
    """Where results go: at most one of s3 and claim. What is not set is decided further along the chain."""

    s3: S3Output | None = None
    claim: ClaimOutput | None = None
    metadata: Literal["Embed", "Strip"] | None = Field(
        None,
        description="Whether the files keep what ComfyUI writes into them, the whole graph with the prompt: Embed.",
    )

    @property
    def names_a_place(self) -> bool:
        """Whether it says where, and not only in which form."""
        return self.s3 is not None or self.claim is not None


def parse_output(text: str) -> OutputStore:
    """Read the JSON of an annotation. Raises ValueError with one line, also for fields that do not exist."""
    try:
        output = OutputStore.model_validate_json(text, extra="forbid")
    except ValidationError as error:
        found = (".".join(map(str, one["loc"])) + ": " + one["msg"] for one in error.errors())
        raise ValueError("; ".join(each.removeprefix(": ") for each in found)) from error
    if output.s3 and output.claim:
        raise ValueError("at most one of s3, claim must be set")
    return output
