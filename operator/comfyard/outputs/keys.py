"""Names of stored files: the same for the same job, output and index, so that a repeat overwrites with itself."""

import re
from pathlib import PurePosixPath

_UID_PART = 8
_EXTENSION = re.compile(r"[a-z0-9]{1,10}")
_NO_EXTENSION = "bin"


def result_key(namespace: str, job: str, uid: str, output: str, index: int, part: int | None, filename: str) -> str:
    """The key of one file: <namespace>/<job>-<uid's beginning>/<output>-<index>[-<part>].<ext>.

    Args:
        namespace: Of the job.
        job: Its name.
        uid: Its uid: a job of the same name that was ordered again keeps its own files.
        output: The template's name for the output.
        index: Which of the job's `count`.
        part: Which of several files that the output's node made for this index; None when it made one.
        filename: ComfyUI's name, for the extension.
    """
    extension = PurePosixPath(filename).suffix.removeprefix(".").lower()
    if not _EXTENSION.fullmatch(extension):
        extension = _NO_EXTENSION
    several = "" if part is None else f"-{part}"
    return f"{namespace}/{job}-{uid[:_UID_PART]}/{output}-{index:03}{several}.{extension}"
