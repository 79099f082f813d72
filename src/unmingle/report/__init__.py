"""One self-contained HTML file on a run."""

from __future__ import annotations

from unmingle.report.build import Subject, report_html, write_report

__all__ = ["Subject", "report_html", "write_report"]
