"""``homeroom pack``: everything for a machine without a network, in one folder."""

from __future__ import annotations

from pathlib import Path

import click

from homeroom.cli.common import emit, json_option, open_home, plural, size


@click.command(name="pack")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--models",
    multiple=True,
    metavar="NAME",
    help="Base model to pack; repeat for several, 'none' for none.  [default: the default base]",
)
@click.option("--extra", type=click.Choice(["demo", "dev"]), default="demo", show_default=True, help="Locked set of packages.")
@click.option("--python-version", "python", metavar="X.Y", help="Python of the other machine.  [default: this one's]")
@click.option(
    "--platform",
    "platforms",
    multiple=True,
    metavar="TAG",
    help="pip's platform tag of the other machine.  [default: this one's]",
)
@click.option("--torch-index", metavar="URL", help="Further package index to take PyTorch from, such as its CPU builds.")
@click.option("--archive", is_flag=True, help="Write FOLDER.tar too.")
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    folder: Path,
    models: tuple[str, ...],
    extra: str,
    python: str | None,
    platforms: tuple[str, ...],
    torch_index: str | None,
    archive: bool,
    as_json: bool,
) -> None:
    """Write FOLDER, from which a machine without a network installs Homeroom and runs the demo.

    It holds packages, models, documentation and install.sh. Needs a network and a copy of the repository. Interrupted, the same
    command goes on.
    """
    import dataclasses
    import shlex

    from homeroom.app.pack import Options, make_pack, parse_models
    from homeroom.cli import progress

    wanted = parse_models(models)
    home = open_home(ctx)
    line = progress.Line(as_json)

    def show(done: int, total: int, message: str) -> None:
        if total:
            line.show(f"{progress.bar(done / total)}  {size(done)} of {size(total)}  {message}", final=done >= total)
        else:
            line.show(f"{message} ...", final=True)

    def note(text: str) -> None:
        if not as_json:
            click.echo(text, err=True)

    options = Options(folder, wanted, extra, python, platforms, torch_index, archive)
    pack = make_pack(home, options, note=note, progress=show)

    def text() -> None:
        click.echo(
            f"Packed {plural(pack.packages, 'package')} and {plural(len(pack.models), 'model')} for {pack.target} into {folder}: "
            f"{plural(pack.files, 'file')}, {size(pack.size_bytes)}."
        )
        if pack.archive:
            click.echo(f"The same as one file: {pack.archive}")
        click.echo(f"Manifest SHA-256: {pack.manifest_sha256}  (install.sh prints it too: compare)")
        click.echo("Copy it to the other machine and run there:")
        click.echo(f"  sh {shlex.quote(folder.name)}/install.sh ~/homeroom-app")

    emit(dataclasses.asdict(pack), as_json, text)
