"""The README's first command, whole."""

import re
import subprocess
import sys

import pytest

from max_mahalanobis.reports.reading import read_run
from max_mahalanobis.results import worst_case


@pytest.mark.slow
def test_the_quickstart_tells_its_story_and_replaces_its_own_output(tmp_path):
    out = tmp_path / "first look"
    for _ in range(2):
        command = [
            sys.executable,
            "-c",
            "from max_mahalanobis.cli import main; main()",
            "quickstart",
            "--out",
            str(out),
            "--quiet",
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
    clean, plain, worst = {}, {}, {}
    for name in ("SCE", "MMC", "AT-SCE", "AT-MMC"):
        rows = [row for row in read_run(out / name).results if row.suite == "quick"]
        total = rows[0].num_images
        clean[name] = rows[0].num_correct / total
        plain[name] = next(row.num_robust for row in rows if row.attack == "pgd-20 cross_entropy") / total
        worst[name] = 1 - sum(worst_case(rows)) / total
    assert min(clean.values()) > 0.94
    assert plain["MMC"] > worst["MMC"] + 0.10
    assert min(worst["AT-SCE"], worst["AT-MMC"]) > max(worst["SCE"], worst["MMC"]) + 0.10
    assert re.search(r"MMC .*the first number is not robustness", done.stdout)
    assert (out / "report.html").read_text().startswith("<!DOCTYPE html>")
