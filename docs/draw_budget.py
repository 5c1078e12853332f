"""Draws budget.svg, the README's picture, from the rows of the quickstart."""

from pathlib import Path

from max_mahalanobis.reports.figures.budget import budget_drawings
from max_mahalanobis.reports.reading import read_runs

HERE = Path(__file__).parent
(drawing,) = budget_drawings(read_runs([HERE.parent / "results" / "quickstart.jsonl"]))
paper = drawing.svg.replace("<defs>", '<rect width="100%" height="100%" fill="white"/><defs>', 1)
(HERE / "budget.svg").write_text(paper, encoding="utf-8")
print(drawing.alt)
