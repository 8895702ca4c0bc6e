"""The commands about jobs, as they are typed: `comfyard run`, `comfyard results`, `comfyard rerun`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from comfyard.cli.orders import Then

app = typer.Typer()

Namespace = Annotated[str, typer.Option("--namespace", "-n", help="Without: that of kubectl's context.")]
Name = Annotated[str, typer.Option(help="Of the job. Without: one is made up.")]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Follow the job until it has ended.")]
Fetch = Annotated[Path | None, typer.Option(help="Fetch the files into this folder.", show_default=False)]
Format = Literal["name", "yaml", "json"]
Output = Annotated[
    Format | None,
    typer.Option("--output", "-o", help="Print the job on stdout, and all else on stderr.", show_default=False),
]


@app.command()
def run(  # noqa: PLR0913, PLR0917 - typer makes an option of each
    template: Annotated[str, typer.Option("--template", "-t", help="The WorkflowTemplate.")],
    parameters: Annotated[
        list[str] | None,
        typer.Option("--parameter", "-p", metavar="NAME=VALUE", help="NAME=@FILE for what a file holds."),
    ] = None,
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            "-i",
            metavar="NAME=FORM",
            help="A file: url:https://…, claim:NAME/PATH, job:NAME/OUTPUT/INDEX.",
        ),
    ] = None,
    profiles: Annotated[
        list[str] | None,
        typer.Option("--profile", metavar="NAME", help="A HardwareProfile; several are tried in order."),
    ] = None,
    count: Annotated[int, typer.Option(min=1, max=64, help="So many images, each with its own seed.")] = 1,
    namespace: Namespace = "",
    name: Name = "",
    wait: Wait = True,  # noqa: FBT002 - typer makes --no-wait of it
    to: Fetch = None,
    output: Output = None,
) -> None:
    """Order from a template, and follow the job until its files are there."""
    from comfyard.cli.run import Order, run  # noqa: PLC0415 - each program imports what it needs only

    then = _then(wait=wait, to=to, output=output)
    order = Order(template, parameters or [], inputs or [], profiles or [], count, name, namespace)
    raise typer.Exit(run(order, then))


@app.command()
def results(
    job: Annotated[str, typer.Argument(help="The GenerationJob.")],
    to: Annotated[Path, typer.Option(help="The folder; it is made if it is not there.")],
    namespace: Namespace = "",
    force: Annotated[bool, typer.Option("--force", help="Replace other files of the same names.")] = False,  # noqa: FBT002
) -> None:
    """Fetch the files of a job from its bucket or claim, each checked by its SHA-256."""
    from comfyard.cli.results import results  # noqa: PLC0415

    raise typer.Exit(results(job, namespace, to, force=force))


@app.command()
def rerun(  # noqa: PLR0913, PLR0917
    job: Annotated[str, typer.Argument(help="A GenerationJob that has finished.")],
    namespace: Namespace = "",
    name: Name = "",
    latest: Annotated[bool, typer.Option("--latest", help="From the template as it is now.")] = False,  # noqa: FBT002
    force: Annotated[bool, typer.Option("--force", help="With the models that are there now.")] = False,  # noqa: FBT002
    wait: Wait = True,  # noqa: FBT002
    to: Fetch = None,
    output: Output = None,
) -> None:
    """Order what a finished job has rendered again: the same values, seed, template and models."""
    from comfyard.cli.rerun import Again, rerun  # noqa: PLC0415

    raise typer.Exit(rerun(Again(job, name, namespace, latest, force), _then(wait=wait, to=to, output=output)))


def _then(*, wait: bool, to: Path | None, output: Format | None) -> "Then":
    from comfyard.cli.orders import Then  # noqa: PLC0415

    if to and not wait:
        raise typer.BadParameter("--to needs the end of the job: leave --no-wait out, or fetch with comfyard results")
    return Then(wait, to, output)
