"""Files that a job takes from elsewhere: in ComfyUI's input directory from before its turn until it has ended."""

import asyncio
import hashlib
import os
import uuid
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from comfyard.agent.file_kinds import suffix_of
from comfyard.agent.files import NewFile, folders, new_file, remove_folder
from comfyard.agent.input_places import InputError, Place, Places
from comfyard.agent.settings import Settings
from comfyard.api.generation_job import GenerationJob, JobInput
from comfyard.api.workflow_template import FileType
from comfyard.outputs.store import patiently

_LEFT_FREE = 256 * 1024**2
"""Bytes of the disk that inputs leave to everything else in the pod, results above all."""
_MEGABYTE = 1_000_000


@dataclass(frozen=True)
class InputFile:
    """A file in ComfyUI's input directory.

    Attributes:
        name: How a graph names it: the path below that directory, with forward slashes.
    """

    parameter: str
    name: str
    sha256: str
    bytes: int


class Inputs:
    """ComfyUI's input directory, with a folder for each job."""

    def __init__(self, places: Places, settings: Settings) -> None:
        self._places = places
        self._settings = settings
        self._held: Counter[str] = Counter()

    def hold(self, uid: str) -> None:
        """Somebody works on a job: its files stay."""
        self._held[uid] += 1

    def release(self, uid: str) -> None:
        """Somebody does so no more. The last one deletes the files; another attempt may have begun already."""
        self._held[uid] -= 1
        if self._held[uid] <= 0:
            del self._held[uid]
            remove_folder(self._settings.input_directory, uid)

    def clear(self, keep: Collection[str]) -> None:
        """Delete the files that an agent before us has left, but those of some jobs."""
        for folder in folders(self._settings.input_directory):
            if is_uid(folder) and folder not in keep and folder not in self._held:
                remove_folder(self._settings.input_directory, folder)

    async def fetch(self, job: GenerationJob, types: Mapping[str, FileType]) -> list[InputFile]:
        """Get all files of a job, at the same time.

        Args:
            job: The job; somebody must hold it.
            types: What each parameter takes.

        Raises:
            InputError: One cannot be had.
            ApiError: The API server is away.
        """
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._patiently(job, given, types)) for given in job.spec.inputs]
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return [task.result() for task in tasks]

    async def _patiently(self, job: GenerationJob, given: JobInput, types: Mapping[str, FileType]) -> InputFile:
        try:
            return await patiently(
                lambda: self._fetch(job, given, types.get(given.parameter)), self._settings.fetch_seconds
            )
        except InputError as error:
            raise InputError(f"parameter {given.parameter}: {error}", transient=error.transient) from error

    async def _fetch(self, job: GenerationJob, given: JobInput, kind: FileType | None) -> InputFile:
        if kind is None:
            message = "the template's accepted content has no such parameter for files; order again"
            raise InputError(message, transient=False)
        place = await self._places.find(given)
        try:
            with new_file(self._settings.input_directory, job.metadata.uid) as new:
                arrival = _Arrival(new, place, self._most())
                await place.copy(arrival.take)
                _check_digest(place, given, arrival.sha256)
                suffix = await asyncio.to_thread(_suffix, new, place, kind)
                new.finish(f"{given.parameter}{suffix}")
        except OSError as error:
            raise _unwritten(place, error) from error
        name = f"{job.metadata.uid}/{given.parameter}{suffix}"
        return InputFile(given.parameter, name, arrival.sha256, arrival.size)

    def _most(self) -> int:
        """Bytes that a file may have now."""
        return min(self._settings.input_bytes, _free(self._settings.input_directory) - _LEFT_FREE)


class _Arrival:
    """A file on its way."""

    def __init__(self, new: NewFile, place: Place, most: int) -> None:
        self.size = 0
        self._new = new
        self._place = place
        self._most = most
        self._digest = hashlib.sha256()

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def take(self, piece: bytes) -> None:
        """Its next bytes. Raises InputError when it is too large."""
        self.size += len(piece)
        if self.size > self._most:
            most = max(0, self._most) // _MEGABYTE
            message = (
                f"{self._place.shown} has more than the {most:,} MB that there is room for here; give a smaller one"
            )
            raise InputError(message, transient=False)
        self._digest.update(piece)
        try:
            self._new.content.write(piece)
        except OSError as error:
            raise _unwritten(self._place, error) from error


def _unwritten(place: Place, error: OSError) -> InputError:
    cause = error.strerror or str(error)
    message = f"{place.shown} cannot be written into ComfyUI's input directory: {cause}; see to the node's disk"
    return InputError(message, transient=True)


def _check_digest(place: Place, given: JobInput, found: str) -> None:
    if given.sha256 and given.sha256 != found:
        message = f"{place.shown} has sha256 {found}, spec.inputs wants {given.sha256}; correct one of them"
        raise InputError(message, transient=False)
    if place.sha256 and place.sha256 != found:
        message = f"{place.shown} has sha256 {found} now, it was stored with {place.sha256}; order that job again"
        raise InputError(message, transient=False)


def _suffix(new: NewFile, place: Place, kind: FileType) -> str:
    new.content.flush()
    try:
        return suffix_of(new.content, place.filename, kind)
    except ValueError as error:
        raise InputError(f"{place.shown} is not what type {kind} takes: {error}", transient=False) from error


def _free(directory: Path) -> int:
    found = os.statvfs(directory)
    return found.f_bavail * found.f_frsize


def is_uid(name: str) -> bool:
    """Whether a folder's name is a job's uid."""
    try:
        return str(uuid.UUID(name)) == name
    except ValueError:
        return False
