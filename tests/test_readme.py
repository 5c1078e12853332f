"""What the documents show is executed."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from max_mahalanobis.reports.reading import read_runs
from max_mahalanobis.results import worst_case
from max_mahalanobis.statistics import proportion

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def python_blocks(document: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / document).read_text(encoding="utf-8"), flags=re.DOTALL)


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.examples
def test_the_readme_example_runs_and_prints_a_worst_case(tmp_path):
    (block,) = python_blocks("README.md")
    script = tmp_path / "readme.py"
    script.write_text(block)
    done = run(str(script), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(r"worst case [\d.]+ %", done.stdout)


def test_the_readme_tree_names_what_is_there():
    tree = re.search(r"```text\n(├.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL)[1]
    named = re.findall(r"^[│├└─ ]*([\w./]+)", tree, flags=re.MULTILINE)
    package = ROOT / "src" / "max_mahalanobis"
    assert len(named) > 20
    for name in named:
        assert any((home / name).exists() for home in (ROOT, package)), f"{name} is in the README and nowhere else"
    for entry in package.iterdir():
        if entry.suffix == ".py" or (entry.is_dir() and not entry.name.startswith("__")):
            assert entry.name in {name.rstrip("/") for name in named}, f"{entry.name} is missing from the README's tree"


@pytest.mark.examples
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(example, tmp_path):
    done = run(str(example), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert len(example.read_text().splitlines()) <= 40


def test_the_readme_shows_the_example_grid_as_it_is():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```toml\n(.*?)```", text, flags=re.DOTALL)
    assert block == (ROOT / "examples" / "grid.toml").read_text(encoding="utf-8")


@pytest.mark.examples
def test_the_example_grid_runs_to_its_table(tmp_path):
    code = "from max_mahalanobis.cli import main; main()"
    grid = str(ROOT / "examples" / "grid.toml")
    done = run("-c", code, "sweep", grid, "--out", "out", "--jobs", "2", "--format", "markdown", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^\| MMC norm 1 \| AT \| [\d.]+ \[.*\| 2 \|$", done.stdout, flags=re.MULTILINE), done.stdout


def published_lines() -> list[str]:
    """The README's results, made from the committed rows: the suite `paper` on the first 1,000 test images."""
    lines = []
    for file in ("mnist.jsonl", "fashion-mnist.jsonl"):
        for run in read_runs([ROOT / "results" / file]):
            rows = [row for row in run.results if row.suite == "paper"]
            plain = next(row for row in rows if row.attack == "pgd-40 cross_entropy")
            worst = len(plain.index) - sum(worst_case(rows))
            cells = [f"{100 * count / len(plain.index):.1f}" for count in (plain.num_correct, plain.num_robust)]
            interval = str(proportion(worst, len(plain.index))).replace(" %", "")
            lines.append(f"| {run.name} | {plain.eps:g} | {cells[0]} | {cells[1]} | {interval} |")
    return lines


def suite_lines() -> list[str]:
    """The README's second table: suites and budgets, and the union of the reference's four attacks (seed 0)."""
    reference: dict[tuple, list[str]] = {}
    for line in (ROOT / "results" / "reference.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if (row["seed"], row["index"]) == (0, "0:1000"):
            reference.setdefault((row["weights_hash"], row["eps"]), []).append(row["fooled"])
    lines = []
    for file in sorted((ROOT / "results").glob("suites-*.jsonl"), reverse=True):
        for run in read_runs([file]):
            for eps in sorted({row.eps for row in run.results}):
                rows = [row for row in run.results if row.eps == eps]
                plain = next(row for row in rows if row.attack == "pgd-20 cross_entropy")
                cells = [share(plain.num_robust), *(suite_cell([r for r in rows if r.suite == name]) for name in SHOWN)]
                bits = reference.get((rows[0].weights_hash, eps), [])
                judged = share(sum("1" not in flags for flags in zip(*bits, strict=True))) if len(bits) == 4 else ""
                budget = f"{eps:g}" if abs(eps * 255 % 4) > 1e-6 else f"{round(eps * 255)}/255"
                lines.append(f"| {run.name} | {budget} | {' | '.join(cells)} | {judged} |".replace("|  |", "| |"))
    return lines


SHOWN = ("adaptive", "auto_fast", "auto")


def share(count: int) -> str:
    return f"{count / 10:.1f}"


def suite_cell(rows) -> str:
    held = len(rows[0].index) - sum(worst_case(rows))
    return f"{share(held)} ({sum(row.forwards + row.backwards for row in rows) / rows[0].num_correct:,.0f})"


def test_the_readme_results_are_those_of_the_committed_rows():
    shown = [line for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines() if "mnist-" in line]
    assert [line for line in shown if line.startswith("| ")] == published_lines() + suite_lines()
