"""From ComfyUI's output directory to the place for results."""

import asyncio

from comfyard.agent.content import EndedError
from comfyard.agent.files import open_output
from comfyard.agent.report import Ended
from comfyard.agent.settings import Settings
from comfyard.api.generation_job import GenerationJob, Result
from comfyard.comfyui.answers import OutputFile
from comfyard.comfyui.execution import Success
from comfyard.outputs.description import describe
from comfyard.outputs.keys import result_key
from comfyard.outputs.store import OutputError, ResultStore, put_patiently
from comfyard.workflow.prompts import Prompt

_AT_ONCE = 4
"""Files that are stored at the same time: enough to fill a line, not so many that rendering starves."""


class Storing:
    """Stores the files of one job while others are being rendered."""

    def __init__(self, job: GenerationJob, store: ResultStore, settings: Settings) -> None:
        self._job = job
        self._store = store
        self._settings = settings
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def store(self, prompt: Prompt, success: Success) -> list[Result]:
        """Store everything that one prompt has made, in the order of the template's outputs. Raises EndedError."""
        wanted = [
            (name, None if len(files) == 1 else part, file)
            for node, name in prompt.outputs.items()
            for files in [success.files[node]]
            for part, file in enumerate(files)
        ]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._outcome(prompt.index, *one)) for one in wanted]
        outcomes = [task.result() for task in tasks]
        for outcome in outcomes:
            if isinstance(outcome, EndedError):
                raise outcome
        return [outcome for outcome in outcomes if isinstance(outcome, Result)]

    async def _outcome(self, index: int, name: str, part: int | None, file: OutputFile) -> Result | EndedError:
        """The result or the error, so that one file's trouble does not break off the others half way."""
        try:
            async with self._slots:
                return await self._one(index, name, part, file)
        except OutputError as error:
            return EndedError(Ended("OutputFailed", str(error)))
        except OSError as error:
            text = error.strerror or str(error)
            return EndedError(Ended("OutputFailed", f"ComfyUI's file {file.filename} cannot be read: {text}"))

    async def _one(self, index: int, name: str, part: int | None, file: OutputFile) -> Result:
        meta = self._job.metadata
        key = result_key(meta.namespace, meta.name, meta.uid, name, index, part, file.filename)
        with await asyncio.to_thread(open_output, self._settings.output_directory, file) as opened:
            about = await asyncio.to_thread(describe, opened, file.filename)
            uri = await put_patiently(self._store, key, opened, about.content_type, self._settings.store_seconds)
        return Result(
            name=name,
            index=index,
            uri=uri,
            sha256=about.sha256,
            bytes=about.bytes,
            content_type=about.content_type,
            width=about.width,
            height=about.height,
        )
