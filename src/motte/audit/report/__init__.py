"""Reports of an audit for programs (JSON, SARIF, JUnit) and for people (HTML)."""

from motte.audit.report.document import report_json
from motte.audit.report.html import report_html
from motte.audit.report.junit import report_junit
from motte.audit.report.sarif import report_sarif

__all__ = ["report_html", "report_json", "report_junit", "report_sarif"]
