"""Run directories in; one HTML page, tables and figures out. Never trains, never imports torch."""

from fedspike.report.page import write

__all__ = ["write"]
