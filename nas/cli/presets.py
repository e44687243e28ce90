"""``nas spaces``, ``nas constraints`` and ``nas labels``: the presets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from nas.cli.app import app, guarded
from nas.presets import preset_names, resolve

spaces = typer.Typer(invoke_without_command=True, help="List the search spaces that ship, or show one.")
constraints = typer.Typer(invoke_without_command=True, help="List the indicator functions that ship, or show one.")
labels = typer.Typer(invoke_without_command=True, help="List the label maps that ship, or show one.")
app.add_typer(spaces, name="spaces")
app.add_typer(constraints, name="constraints")
app.add_typer(labels, name="labels")
Name = Annotated[str, typer.Argument(help="Preset or path.")]


@spaces.callback()
@guarded
def list_spaces(context: typer.Context) -> None:
    """List the search spaces that ship, or show one."""
    if context.invoked_subcommand is None:
        from nas.space import load_space

        for name in preset_names("search_spaces"):
            space = load_space(name)
            cost = space.prototype.cost()
            typer.echo(
                f"{name}: prototype {cost.params:,} parameters, {cost.macs / 1e6:.1f}M MACs; "
                f"{len(space.distributions())} searchable parameters"
            )
            description = getattr(getattr(space, "spec", None), "description", "")
            if description:
                typer.echo(f"    {description}")


@spaces.command("show")
@guarded
def show_space(name: Name) -> None:
    """Print a space's YAML, to copy and change."""
    from nas.space import load_space

    _show("search_spaces", name, load_space)


@constraints.callback()
@guarded
def list_constraints(context: typer.Context) -> None:
    """List the indicator functions that ship, or show one."""
    if context.invoked_subcommand is None:
        from nas.indicator import load_indicator

        for name in preset_names("constraints"):
            bounds = "; ".join(str(c) for c in load_indicator(name).constraints) or "no bound"
            typer.echo(f"{name}: {bounds}")


@constraints.command("show")
@guarded
def show_constraints(name: Name) -> None:
    """Print a constraints file, to copy and change."""
    from nas.indicator import load_indicator

    _show("constraints", name, load_indicator)


@labels.callback()
@guarded
def list_labels(context: typer.Context) -> None:
    """List the label maps that ship, or show one."""
    if context.invoked_subcommand is None:
        from nas.data.labels import FOLDER, load_label_map

        for name in preset_names(FOLDER):
            read = load_label_map(name)
            dropped = f"; without {', '.join(read.drop)}" if read.drop else ""
            typer.echo(f"{name}: {', '.join(read.classes)}{dropped}")


@labels.command("show")
@guarded
def show_labels(name: Name) -> None:
    """Print a label map, to copy and change."""
    from nas.data.labels import FOLDER, load_label_map

    _show(FOLDER, name, load_label_map)


def _show(folder: str, name: str, check: Callable[[Path], object]) -> None:
    """Prints a preset or a file of its kind, once ``check`` has read it without an error."""
    path = resolve(folder, name)
    check(path)
    typer.echo(path.read_text(encoding="utf-8"), nl=False)
