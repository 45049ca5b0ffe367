"""Reports: explanations as one HTML file, which a browser opens without a network."""

from __future__ import annotations

from saliency.report.writing import report_html as report_html
from saliency.report.writing import write_report as write_report
