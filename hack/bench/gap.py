"""The pause of a GPU between two queued jobs, against a plain client that submits one prompt after the other.

Both on the same stand-in, with the same graph, and by its own record of when each execution began and ended.
"""

import asyncio
import json
import uuid
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import aiohttp

from comfyard.api.generation_job import GenerationJob
from comfyard.api.workflow_template import WorkflowTemplate
from comfyard.kube.kinds import GENERATION_JOB, WORKFLOW_TEMPLATE
from comfyard.workflow.prompts import Prompt, build_prompts, prompt_id
from hack.bench import quickstart, traffic
from hack.bench.bed import Bed, bed
from hack.bench.servers import Servers
from hack.bench.system import serving, warm
from hack.cluster.process import say

JOBS = 60
_STEP_SECONDS = 0.2
"""Of each job's only step: a GPU that is faster has no use for an operator."""
_SECONDS_PER_JOB = 5.0


async def gap(jobs: int) -> dict[str, Any]:
    """So many jobs at once on one server, then as many prompts of a plain client."""
    say(f"gap: {jobs} jobs on one server, {jobs} prompts of a plain client")
    async with bed(maxServers=1) as here, serving(here, _STEP_SECONDS) as (servers, watcher):
        await warm(here, servers, watcher, 1)
        names = [f"job-{index}" for index in range(jobs)]
        await traffic.create_jobs(here, names)
        await watcher.until_complete(names, jobs * _SECONDS_PER_JOB)
        ours = pauses(servers, [prompt_id(watcher.uids[name], 0, 0) for name in names])
        prompts = await _same_prompts(here, names[0], jobs)
        (url,) = servers.urls.values()
        await submit_one_by_one(url, prompts)
        plain = pauses(servers, [prompt.id for prompt in prompts])
        return {
            "jobs": jobs,
            "render_ms": round(_STEP_SECONDS * 1000),
            **traffic.in_ms("gpu_gap", ours),
            **traffic.in_ms("plain_client_gap", plain),
        }


def pauses(servers: Servers, prompt_ids: Sequence[str]) -> list[float]:
    """Seconds between the end of each of these executions and the beginning of the next."""
    wanted = set(prompt_ids)
    ours = sorted((each for each in servers.executions() if each.prompt_id in wanted), key=lambda each: each.began)
    return [after.began - before.ended for before, after in pairwise(ours)]


async def _same_prompts(here: Bed, name: str, count: int) -> list[Prompt]:
    """What jobs like this one render, with seeds that ComfyUI has not rendered yet."""
    namespace = here.studio.namespace
    job = GenerationJob.model_validate(await here.api.get(GENERATION_JOB, name, namespace))
    template = WorkflowTemplate.model_validate(
        await here.api.get(WORKFLOW_TEMPLATE, quickstart.name_in(quickstart.TEMPLATE), namespace)
    )
    values = job.status.parameters or {}
    return build_prompts(template.spec, values, 10**9, uid=str(uuid.uuid4()), attempt=0, count=count)


async def submit_one_by_one(url: str, prompts: Sequence[Prompt]) -> None:
    """As ComfyUI's own example does: each prompt when the events say that the one before has been executed."""
    client_id = uuid.uuid4().hex
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{url}/ws?clientId={client_id}") as events:
        for prompt in prompts:
            body = {"prompt": prompt.graph, "client_id": client_id, "prompt_id": prompt.id}
            async with session.post(f"{url}/prompt", json=body) as answer:
                answer.raise_for_status()
            async with asyncio.timeout(_SECONDS_PER_JOB):
                await _executed(events, prompt.id)


async def _executed(events: aiohttp.ClientWebSocketResponse, wanted: str) -> None:
    async for message in events:
        if message.type is not aiohttp.WSMsgType.TEXT:
            continue
        event = json.loads(message.data)
        data = event.get("data", {})
        if event["type"] == "executing" and data.get("node") is None and data.get("prompt_id") == wanted:
            return
