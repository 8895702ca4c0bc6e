"""What made a job's files, as the agent knows it."""

from collections.abc import Hashable, Sequence

from comfyard.agent.inputs import InputFile
from comfyard.api.generation_job import GenerationJob, Receipt, ReceiptInput, ReceiptServer
from comfyard.comfyui.answers import About
from comfyard.workflow.prompts import Prompt
from comfyard.workflow.receipts import graph_digest

_LONGEST_VERSION = 64
_LONGEST_DEVICE = 128


class Render:
    """What a job renders, and with what.

    Attributes:
        prompts: Of all indexes.
    """

    def __init__(self, prompts: Sequence[Prompt], files: Sequence[InputFile]) -> None:
        self.prompts = prompts
        self._files = sorted(files, key=lambda file: file.parameter)
        self._graph = graph_digest([prompt.graph for prompt in prompts], {file.name: file.parameter for file in files})

    @property
    def key(self) -> Hashable:
        """The same for what renders the same here."""
        return self._graph, tuple(file.sha256 for file in self._files)

    def receipt(self, job: GenerationJob, image: str, about: About, *, reused: bool) -> Receipt:
        """The whole receipt.

        Args:
            job: With what the operator has written into its receipt.
            image: Of the server, as its pod names it; kubelet has told the operator more exactly, if it has.
            about: What ComfyUI says of itself.
            reused: Whether nothing was rendered anew.
        """
        before = job.status.receipt or Receipt(template=job.status.template.digest if job.status.template else "")
        server = ReceiptServer(
            image=before.server.image if before.server and before.server.image else image,
            comfyui=about.version[:_LONGEST_VERSION],
            gpu=about.device[:_LONGEST_DEVICE],
        )
        inputs = [ReceiptInput(parameter=file.parameter, sha256=file.sha256, bytes=file.bytes) for file in self._files]
        update = {"graph": self._graph, "inputs": inputs, "server": server, "outputs_reused": reused}
        return before.model_copy(update=update)
