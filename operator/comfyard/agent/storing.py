"""From ComfyUI's output directory to the place for results."""

import asyncio
import contextlib
import tempfile

from comfyard.agent.content import EndedError
from comfyard.agent.files import open_output
from comfyard.agent.report import Ended
from comfyard.agent.settings import Settings
from comfyard.api.generation_job import GenerationJob, Result
from comfyard.comfyui.answers import OutputFile, OutputValue
from comfyard.comfyui.execution import Success
from comfyard.outputs.description import describe
from comfyard.outputs.keys import result_key
from comfyard.outputs.reading import Content
from comfyard.outputs.store import OutputError, ResultStore, put_patiently
from comfyard.outputs.stripping import CannotStripError, strip
from comfyard.workflow.prompts import Prompt

_AT_ONCE = 4
"""Files that are stored at the same time: enough to fill a line, not so many that rendering starves."""


class Storing:
    """Stores the files of one job while others are being rendered."""

    def __init__(self, job: GenerationJob, store: ResultStore, settings: Settings) -> None:
        self._job = job
        self._store = store
        self._settings = settings
        self._strips = job.status.output is not None and job.status.output.metadata == "Strip"
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def store(self, prompt: Prompt, success: Success) -> list[Result]:
        """Store everything that one prompt has made, in the order of the template's outputs. Raises EndedError."""
        wanted: list[tuple[str, int | None, OutputFile | OutputValue]] = []
        for node, name in prompt.outputs.items():
            made: tuple[OutputFile | OutputValue, ...] = (*success.files[node], *success.values[node])
            wanted += [(name, None if len(made) == 1 else part, one) for part, one in enumerate(made)]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._outcome(prompt.index, *one)) for one in wanted]
        outcomes = [task.result() for task in tasks]
        for outcome in outcomes:
            if isinstance(outcome, EndedError):
                raise outcome
        return [outcome for outcome in outcomes if isinstance(outcome, Result)]

    async def _outcome(
        self, index: int, name: str, part: int | None, made: OutputFile | OutputValue
    ) -> Result | EndedError:
        """The result or the error, so that one file's trouble does not break off the others half way."""
        try:
            async with self._slots:
                return await self._one(index, name, part, made)
        except OutputError as error:
            return EndedError(Ended("OutputFailed", str(error)))
        except OSError as error:
            text = error.strerror or str(error)
            return EndedError(Ended("OutputFailed", f"ComfyUI's file {made.filename} cannot be read: {text}"))
        except CannotStripError as error:
            return EndedError(Ended("OutputFailed", f"output {name}, ComfyUI's file {made.filename}: {error}"))

    async def _one(self, index: int, name: str, part: int | None, made: OutputFile | OutputValue) -> Result:
        meta = self._job.metadata
        key = result_key(meta.namespace, meta.name, meta.uid, name, index, part, made.filename)
        with await asyncio.to_thread(self._content, made) as content:
            about = await asyncio.to_thread(describe, content, made.filename)
            uri = await put_patiently(self._store, key, content, about.content_type, self._settings.store_seconds)
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

    def _content(self, made: OutputFile | OutputValue) -> Content:
        """What is to be stored, opened. Raises OSError, CannotStripError."""
        with contextlib.ExitStack() as on_error:
            if isinstance(made, OutputValue):
                written = on_error.enter_context(tempfile.TemporaryFile())
                written.write(made.content)
            elif self._strips:
                written = on_error.enter_context(tempfile.TemporaryFile())
                with open_output(self._settings.output_directory, made) as opened:
                    strip(opened, made.filename, written)
            else:
                return open_output(self._settings.output_directory, made)
            on_error.pop_all()
            return written
