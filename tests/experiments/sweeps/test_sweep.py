import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from commands import ENVIRONMENT
from experiments.sweeps.small import GRID, NAMES, InThisProcess, fill

from max_mahalanobis.commands.sweeping import sweep
from max_mahalanobis.errors import UserError
from max_mahalanobis.experiments import sweeps
from max_mahalanobis.parser import parse
from max_mahalanobis.results import read_results

MMC = [sys.executable, "-c", "from max_mahalanobis.cli import main; main()"]
SWEEP = ["sweep", "small.toml", "--out", "out"]
STRANGER = "MMC-norm-1-AT-1"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where a grid stands, and in the sweep's folder something that is in the way of one cell."""
    fill(tmp_path)
    out = tmp_path / "out"
    (out / STRANGER).mkdir(parents=True)
    (out / "grid.toml").write_text("an earlier one\n")
    (out / STRANGER / "notes.txt").write_text("in the way\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sweeps, "here", InThisProcess)
    InThisProcess.begun = []
    return tmp_path


def run(*words):
    """The exit code of a sweep."""
    return sweep(parse([*SWEEP, "--threads", "1", *words]))


def lines(name="rows.jsonl"):
    return [json.loads(line) for line in (Path("out") / name).read_text().splitlines()]


def rows_per_cell():
    return {name: len(read_results(Path("out") / name / "results.jsonl")) for name in NAMES}


def test_a_cell_that_fails_costs_only_itself_and_a_second_call_does_it_alone(folder, capsys):
    assert run() == 1
    assert [line["cell"] for line in lines()] == [name for name in NAMES if name != STRANGER]
    reason = "is not a run of mmc (no recipe.toml): give the folder that mmc train made"
    (failure,) = lines("failures.jsonl")
    assert (failure["cell"], failure["exit"]) == (STRANGER, "exit 2")
    assert failure["reason"].endswith(reason)
    told = capsys.readouterr()
    assert f"{STRANGER} failed (exit 2)" in " ".join(told.out.split())
    assert told.err.splitlines()[0] == "mmc: 8 cells, 0 finished before, 8 to do"
    assert told.err.splitlines()[1].startswith("mmc: 1 of 8: SCE-none-0: ")
    assert f"mmc: 8 of 8: {STRANGER} failed (exit 2): " in told.err

    shutil.rmtree(Path("out") / STRANGER)
    InThisProcess.begun = []
    assert run("--quiet") == 0
    assert InThisProcess.begun == [STRANGER]
    assert [line["cell"] for line in lines()] == NAMES
    assert lines("failures.jsonl") == []
    assert set(rows_per_cell().values()) == {6}
    assert capsys.readouterr().err == ""


def test_more_suites_and_budgets_are_added_to_what_is_there(folder):
    shutil.rmtree(Path("out") / STRANGER)
    one = GRID.replace("seeds = [0, 1]", "seeds = [0]").replace('"MMC, norm 1"', "#").replace("AT =", "#")
    Path("small.toml").write_text(one)
    assert run("--quiet") == 0
    weights = Path("out/SCE-none-0/weights.safetensors").read_bytes()
    Path("small.toml").write_text(one.replace('["8/255"]', '["8/255", 0.1]').replace("images = 20", "images = 500"))
    assert run("--quiet") == 0
    assert Path("out/SCE-none-0/weights.safetensors").read_bytes() == weights
    assert [(line["eps"], line["images"]) for line in lines()] == [(8 / 255, 30), (0.1, 30)]  # 30 are all there are
    assert len(read_results(Path("out/SCE-none-0/results.jsonl"))) == 6 + 12
    InThisProcess.begun = []
    assert run("--quiet") == 0
    assert InThisProcess.begun == []


def test_a_recipe_that_cannot_be_is_a_failed_cell_and_needs_no_process(folder, capsys):
    grid = GRID.replace("seeds = [0, 1]", "seeds = [0]").replace("norm = 1.0", "margin = 0.5").replace("none = {}", "")
    Path("small.toml").write_text(grid)
    assert run("--format", "json") == 1
    assert InThisProcess.begun == ["SCE-AT-0"]
    told = json.loads(capsys.readouterr().out)
    assert [line["cell"] for line in told["rows"]] == ["SCE-AT-0"]
    assert told["failures"][0]["reason"].startswith("margin 0.5 is no setting of head mmc")
    assert told["table"]["header"][:2] == ["head", "training"]


def test_a_line_counts_what_the_rows_say(folder):
    run("--quiet")
    line = next(line for line in lines() if line["cell"] == "MMC-norm-1-AT-0")
    rows = read_results(Path("out/MMC-norm-1-AT-0/results.jsonl"))
    assert (line["clean"], line["images"]) == (rows[0].num_correct, 20)
    assert line["cross_entropy"] == next(row.num_robust for row in rows if row.attack == "pgd-20 cross_entropy")
    assert line["worst"] == line["suites"]["quick"] <= line["cross_entropy"]
    assert line["axes"] == {"head": "MMC, norm 1", "training": "AT"}
    assert (line["data"], line["epochs"], line["weights"]) == ("few.npz", 1, rows[0].weights_hash)
    assert len(json.dumps(line)) < 600
    table = Path("out/table.md").read_text()
    assert "| MMC, norm 1 | AT |" in table


def test_another_recipe_in_a_cells_folder_is_refused_before_anything_is_done(folder):
    run("--quiet")
    Path("small.toml").write_text(GRID.replace("epochs = 1", "epochs = 2"))
    InThisProcess.begun = []
    with pytest.raises(UserError, match="SCE-none-0 has another recipe than the grid: choose another --out, or remove"):
        run("--quiet")
    assert InThisProcess.begun == []
    assert Path("out/grid.toml").read_text() == GRID


def test_a_cell_is_worked_on_by_one_process_at_a_time(folder):
    import fcntl

    run("--quiet")
    with open("out/logs/SCE-none-0.txt", "ab") as log:
        fcntl.flock(log, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="another process is at work on out/SCE-none-0: wait for it, or end it"):
            run("--quiet", "--cell", "SCE-none-0")
    assert run("--quiet", "--cell", "SCE-none-0") == 0


@pytest.mark.slow
def test_two_processes_at_a_time_do_the_same(folder):
    done = subprocess.run([*MMC, *SWEEP, "--jobs", "2"], env=ENVIRONMENT, check=False)
    assert done.returncode == 1
    assert len(lines()) == 7
    assert [failure["cell"] for failure in lines("failures.jsonl")] == [STRANGER]
    assert "epoch 1/1" in Path("out/logs/SCE-none-0.txt").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sent", "code", "how"),
    [(signal.SIGINT, 130, ()), (signal.SIGTERM, 143, ()), (signal.SIGINT, 130, ("--cluster", "local"))],
)
def test_a_sweep_that_is_stopped_ends_its_processes_and_goes_on_later(folder, sent, code, how):
    if how:
        pytest.importorskip("submitit")
    Path("small.toml").write_text(GRID.replace("epochs = 1", "epochs = 1000").replace("seeds = [0, 1]", "seeds = [0]"))
    shutil.rmtree("out")
    begun = subprocess.Popen([*MMC, *SWEEP, "--jobs", "2", "--quiet", *how], env=ENVIRONMENT)
    metrics = [Path("out/SCE-none-0/metrics.jsonl"), Path("out/SCE-AT-0/metrics.jsonl")]
    while not all(path.exists() and len(path.read_text().splitlines()) > 2 for path in metrics):
        assert begun.poll() is None
        time.sleep(0.02)
    os.kill(begun.pid, sent)
    assert begun.wait(120) == code
    within(20, lambda: not processes_in(folder))
    before = metrics[0].read_text().splitlines()
    assert len(before) < 1000
    assert not Path("out/SCE-none-0/weights.safetensors").exists()
    assert run("--quiet", "--cell", "SCE-none-0") == 0
    after = metrics[0].read_text().splitlines()
    assert len(after) == 1000
    assert after[: len(before) - 1] == before[:-1]  # not trained again; of the last epoch the state may be missing


def within(seconds, holds):
    """Wait until something holds."""
    ends = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.05)


def processes_in(folder):
    """Processes that were told to work on a sweep in this folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue  # it ended meanwhile
        if any(word.startswith(str(folder)) for word in words):
            found.append(words)
    return found


@pytest.mark.slow
def test_jobs_through_submitit_do_the_same_and_a_second_call_only_what_failed(folder):
    pytest.importorskip("submitit")
    command = [*MMC, *SWEEP, "--cluster", "local", "--jobs", "2", "--cpus", "1"]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert [line["cell"] for line in lines()] == [name for name in NAMES if name != STRANGER]
    assert [failure["cell"] for failure in lines("failures.jsonl")] == [STRANGER]
    shutil.rmtree(Path("out") / STRANGER)
    again = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert again.stderr.splitlines()[0] == "mmc: 8 cells, 7 finished before, 1 to do"
    assert set(rows_per_cell().values()) == {6}


@pytest.mark.slow
def test_a_job_that_must_leave_its_machine_is_started_again_and_goes_on(folder):
    pytest.importorskip("submitit")
    command = [sys.executable, "-c", "import os, time\nprint('begun', flush=True)\n"
               "if not os.path.exists('seen'): open('seen', 'w').close(); time.sleep(60)"]  # fmt: skip
    start = sweeps.on_cluster(sweeps.Cluster("local", 60), folder / "jobs")
    job, log = start(command, folder / "log.txt"), folder / "log.txt"
    within(30, (folder / "seen").exists)
    controller = job._job.job_id  # starts what submitit calls a task, and on Slurm is Slurm itself
    (task,) = map(int, Path(f"/proc/{controller}/task/{controller}/children").read_text().split())
    os.kill(task, signal.SIGUSR2)
    within(30, lambda: job.code() is not None)
    assert job.code() == 0
    assert log.read_text().splitlines() == ["begun", "begun"]
