"""The numbers of a run as one table that any program reads: comma-separated values, RFC 4180, UTF-8."""

import csv
import io
from dataclasses import fields

from vertecast.report.case_report_run import RunFolder
from vertecast.report.export.measurements import Row, run_rows

COLUMNS = ("case_id", *(one.name for one in fields(Row)))


def table_csv(run: RunFolder) -> str:
    """Return the table: one row per number, unknown ones with an empty value and their reason; lines end in CR LF."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for row in run_rows(run):
        writer.writerow([run.case_id, *(getattr(row, name) for name in COLUMNS[1:])])
    return out.getvalue()
