"""Buckets, with the keys of the Secret that is named for them."""

from comfyard.api.output import S3Bucket, S3Output
from comfyard.api.s3 import endpoint_of
from comfyard.kube.errors import ForbiddenError, NotFoundError
from comfyard.kube.kinds import SECRET
from comfyard.kube.protocol import KubeClient
from comfyard.kube.secrets import SecretError, s3_keys
from comfyard.outputs.s3 import Bucket


async def bucket_of(client: KubeClient, namespace: str, place: S3Bucket, where: str) -> Bucket:
    """A bucket that a job names.

    Args:
        client: The API server.
        namespace: Of the job, and of the Secret.
        place: The bucket and its Secret.
        where: The field that names it, for messages.

    Raises:
        SecretError: The Secret cannot be used for it.
        ApiError: The API server is away.
    """
    name = place.secret_ref.name
    try:
        secret = await client.get(SECRET, name, namespace)
    except NotFoundError as error:
        raise SecretError(f'Secret "{name}" ({where}.secretRef) does not exist; create it') from error
    except ForbiddenError as error:
        raise SecretError(f'Secret "{name}" ({where}.secretRef) may not be read: {error}') from error
    access_key, secret_key = s3_keys(secret, endpoint_of(place.endpoint, place.region))
    return Bucket(
        name=place.bucket,
        prefix=place.prefix if isinstance(place, S3Output) else "",
        endpoint=place.endpoint,
        region=place.region,
        access_key=access_key,
        secret_key=secret_key,
    )
