"""A stand-in ComfyUI server: `python -m comfysim [ComfyUI's own arguments]`.

It answers like ComfyUI 0.3.64 and draws labelled pictures instead of running models. Its own settings are environment
variables:

    COMFYSIM_STEP_SECONDS           seconds per sampler step (0.1)
    COMFYSIM_DECODE_SECONDS         seconds to decode or encode one picture (0)
    COMFYSIM_STARTUP_SECONDS        seconds before the port opens (0)
    COMFYSIM_LOAD_BYTES_PER_SECOND  reading rate of model files (2e9; 0: at once)
    COMFYSIM_VRAM_BYTES             memory of the pretended card (24 GiB)
    COMFYSIM_GPU_NAME               its name
    COMFYSIM_RECORD                 file for the execution record (JSON lines)
    COMFYSIM_MISBEHAVE              switches that are on from the start (JSON)
    COMFYSIM_MISBEHAVE_FILE         a JSON file with switches, looked at for every prompt
    COMFYSIM_PROMPT_SWITCHES        1: honour [sim: ...] in positive prompts
    COMFYSIM_ONCE_DIRECTORY         where once- switches leave their marks (the user directory)

The README of this package explains the switches.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import ssl
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from comfysim.cache import ResultCache
from comfysim.cli_args import parse_args
from comfysim.custom_nodes import import_custom_nodes
from comfysim.execution import PromptExecutor
from comfysim.folder_paths import FolderPaths
from comfysim.logs import LogInterceptor, intercept
from comfysim.misbehave import Misbehaviour
from comfysim.model_management import InterruptFlag, ModelManager
from comfysim.node_catalog import NodeCatalog
from comfysim.prompt_worker import start_prompt_worker
from comfysim.record import ExecutionRecord
from comfysim.runtime import Runtime
from comfysim.server import PromptServer
from comfysim.settings import Settings, from_environ

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

log = logging.getLogger("comfysim")


def make_folders(args: argparse.Namespace) -> FolderPaths:
    """Lays out and prepares the directories.

    Args:
        args: ComfyUI's arguments.

    Returns:
        The directories.

    Raises:
        OSError: One that ComfyUI cannot do without is missing or cannot be written.
    """
    folders = FolderPaths.make(
        args.base_directory or str(Path.cwd()),
        args.output_directory,
        args.input_directory,
        args.temp_directory,
        args.user_directory,
    )
    beside = Path(folders.base) / "extra_model_paths.yaml"
    files = [*([str(beside)] if beside.is_file() else []), *args.extra_model_paths_config]
    if files:
        from comfysim.extra_config import load_extra_path_config  # noqa: PLC0415 - PyYAML is needed only here

        for file in files:
            load_extra_path_config(file, folders)
    if args.base_directory and not args.disable_all_custom_nodes:
        next(Path(folders.folders["custom_nodes"].paths[0]).iterdir(), None)  # ComfyUI fails here if it is missing
    folders.prepare()
    return folders


def make_runtime(args: argparse.Namespace, settings: Settings) -> Runtime:
    """Makes the shared parts.

    Args:
        args: ComfyUI's arguments.
        settings: The stand-in's own.

    Returns:
        The runtime.
    """
    folders = make_folders(args)
    return Runtime(
        args=args,
        settings=settings,
        folders=folders,
        catalog=NodeCatalog(folders, api_nodes=not args.disable_api_nodes),
        models=ModelManager(settings.load_bytes_per_second, settings.vram_bytes, keep_all=args.cache_lru > 0),
        interrupt=InterruptFlag(),
        misbehaviour=Misbehaviour(
            settings.misbehave,
            settings.misbehave_file,
            settings.once_directory or Path(folders.user),
            prompt_switches=settings.prompt_switches,
        ),
        record=ExecutionRecord(settings.record),
    )


def make_cache(args: argparse.Namespace) -> ResultCache:
    """Chooses the node cache.

    Args:
        args: ComfyUI's arguments.

    Returns:
        The cache.
    """
    if args.cache_lru > 0:
        return ResultCache("lru", args.cache_lru)
    return ResultCache("none" if args.cache_none else "classic")


async def serve(runtime: Runtime, logs: LogInterceptor) -> None:
    """Starts up and serves for ever.

    Args:
        runtime: The process' shared parts.
        logs: What was written to standard error.
    """
    await asyncio.sleep(runtime.settings.startup_seconds)
    args = runtime.args
    import_custom_nodes(args, runtime.folders, runtime.catalog)
    server = PromptServer(runtime, logs)
    start_prompt_worker(server, PromptExecutor(server, runtime, make_cache(args)))
    runner = web.AppRunner(server.app, access_log=None, handle_signals=False)
    await runner.setup()
    context: ssl.SSLContext | None = None
    if args.tls_keyfile and args.tls_certfile:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(args.tls_certfile, args.tls_keyfile)
    log.info("Starting server\n")
    for address in args.listen.split(","):
        await web.TCPSite(runner, address, args.port, ssl_context=context).start()
        shown = f"[{address}]" if ":" in address else address
        log.info("To see the GUI go to: http%s://%s:%s", "s" if context else "", shown, args.port)
    await server.publish_loop()


def _stop(runtime: Runtime) -> None:
    """Ends the process at once; neither the running prompt nor a client that keeps its socket is waited for."""
    log.info("\nStopped server")
    runtime.folders.remove_temp()
    logging.shutdown()
    os._exit(0)


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Runs the server.

    SIGTERM is left to its default action, so it kills at once and, as PID 1, does nothing at all; SIGINT ends the
    process with status 0 without waiting for the running prompt. Both are as ComfyUI 0.3.64 does it.

    Args:
        argv: Arguments without the program's name.
        environ: The environment.

    Returns:
        The exit status.
    """
    args = parse_args(argv)
    logs = intercept()
    logging.basicConfig(level=args.verbose, format="%(message)s", stream=sys.stdout if args.log_stdout else None)
    runtime = make_runtime(args, from_environ(environ))
    try:
        log.info("comfysim: a stand-in for ComfyUI 0.3.64; no model will be run")
        if args.quick_test_for_ci:
            return 0
        signal.signal(signal.SIGINT, lambda _number, _frame: _stop(runtime))
        asyncio.run(serve(runtime, logs))
    except KeyboardInterrupt:
        log.info("\nStopped server")
    runtime.folders.remove_temp()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
