"""What a run came to, on one terminal screen: from the files of its folder."""

from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from vertecast.pipeline.run import Ran


def run_parts(ran: "Ran") -> list[RenderableType]:
    """Return the table of all levels, and below it why, what was left out, how long it took and where the report is."""
    from vertecast.pipeline.outcome_rows import level_figures, read_documents

    documents = read_documents(ran.folder)
    planned = documents["plan"]["levels"]
    columns = [level_figures(documents, name) for name in planned]
    table = Table(title=f"{ran.manifest['case_id']}: what came of it", box=SIMPLE_HEAD, caption=ran.manifest["notice"])
    table.add_column("", no_wrap=True)
    for name in planned:
        table.add_column(name, justify="right")
    for label in dict.fromkeys(one.label for column in columns for one in column):
        table.add_row(label, *(next((one.shown for one in column if one.label == label), "–") for column in columns))
    said = [f"{name}: {one['procedure_reason']}" for name, one in planned.items()]
    said += _left_out(ran.manifest["skipped"])
    report = ran.folder / "report.html"
    return [
        table,
        *(escape(one) for one in said),
        _spent(ran),
        f"Report: {report}" if report.is_file() else f"Results: {ran.folder}",
    ]


def _left_out(skipped: list[dict[str, str]]) -> list[str]:
    """Return one sentence for each reason."""
    reasons = dict.fromkeys(one["reason"] for one in skipped)
    return [
        f"Left out: {', '.join(one['artefact'] for one in skipped if one['reason'] == reason)} ({reason})"
        for reason in reasons
    ]


def _spent(ran: "Ran") -> str:
    stages = ran.manifest["run"]["stages"]
    new = [one for one in stages if one["name"] not in ran.reused]
    took = f"{sum(one['seconds'] for one in new):.0f} s"
    peak = max((one["peak_memory_mib"] for one in new), default=0.0)
    again = f"; {', '.join(ran.reused)} kept from before" if ran.reused else ""
    compiled = f", {ran.compile_seconds:.0f} s of it compiling, once on a machine" if ran.compile_seconds >= 1 else ""
    return f"Took {took}{compiled}; at most {peak:.0f} MiB{again}"
