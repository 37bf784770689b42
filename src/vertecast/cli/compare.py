"""``vertecast compare``: two runs of one case side by side."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from vertecast.cli.answer import JsonFlag, QuietFlag, answering

if TYPE_CHECKING:
    from vertecast.pipeline.compare import Pair


def compare(
    first: Annotated[Path, typer.Argument(help="Run folder.")],
    second: Annotated[Path, typer.Argument(help="Another run folder of the same CT.")],
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("compare.html"),
    as_json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Show two plans or runs of one case side by side, as a table and as a page with the pictures of both.

    Example: vertecast compare run-vertebroplasty run-kyphoplasty
    """
    with answering(as_json=as_json, quiet=quiet) as answer:
        from vertecast.pipeline.compare import compare_case, write_comparison

        found = compare_case(first, second)
        remedy = write_comparison(found, out)
        tables = [_table(name, pairs, (first, second)) for name, pairs in found.levels.items()]
        page = None if remedy else str(out)
        answer.give({**found.as_json(), "page": page}, *tables, f"Page: {out}" if page else f"{out} skipped: {remedy}")


def _table(level: str, pairs: "tuple[Pair, ...]", folders: tuple[Path, Path]) -> Table:
    from vertecast.pipeline.compare import shown_difference

    table = Table(title=level, box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    table.add_column("", no_wrap=True)
    for folder in folders:
        table.add_column(folder.resolve().name, justify="right")
    table.add_column("change", justify="right")
    for pair in pairs:
        values = ["–" if one is None else one.shown for one in (pair.first, pair.second)]
        table.add_row(pair.figure.label, *values, shown_difference(pair))
    return table
