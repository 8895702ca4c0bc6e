"""What is the same of S3 for models and for results. Pure."""

import re

_ANSWER = re.compile(r"<Code>(?P<code>[^<]{1,100})</Code>\s*<Message>(?P<message>[^<]{1,300})")


def endpoint_of(endpoint: str | None, region: str) -> str:
    """The endpoint, or AWS' of the region."""
    return endpoint or f"https://s3.{region}.amazonaws.com"


def said(text: str) -> str | None:
    """The code and the message of an error answer: AccessDenied: Access Denied. None when it is something else."""
    answer = _ANSWER.search(text)
    return f"{answer['code']}: {answer['message']}" if answer else None
