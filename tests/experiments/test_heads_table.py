import json

import pytest

from max_mahalanobis.experiments.heads_table import main
from max_mahalanobis.results import read_results

pytestmark = pytest.mark.slow


def test_every_head_and_seed_gets_rows_once_and_a_line_of_the_table(tmp_path, capsys):
    heads = ["softmax", "mmlda", "center_loss"]
    asked = ["--heads", *heads, "--seeds", "2", "--epochs", "2", "--images", "40"]
    asked += ["--out", str(tmp_path / "heads.jsonl"), "--runs", str(tmp_path / "runs")]
    main(asked)
    first = capsys.readouterr().out
    for head in heads:
        assert f"| {head} |" in first
    rows = read_results(tmp_path / "heads.jsonl")
    assert {row.run for row in rows} == {f"digits-{head}-{seed}" for head in heads for seed in (0, 1)}
    lines = (tmp_path / "heads-training.jsonl").read_text().splitlines()
    assert len(lines) == 6
    assert all(json.loads(line)["seconds_per_epoch"] > 0 for line in lines)
    main(asked)
    assert len(read_results(tmp_path / "heads.jsonl")) == len(rows)
    assert capsys.readouterr().out in first
