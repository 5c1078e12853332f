"""Command lines that README and docs/ show are understood, and those that attack run to their end on a small run."""

import re
import shlex
from pathlib import Path

import pytest
from commands import drive

from max_mahalanobis import Recipe, train
from max_mahalanobis.parser import parse
from max_mahalanobis.runs import create_run, facts_of

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
RUN = re.compile(r"^(RUN|run|OTHER|runs/\S+)$")  # what pages call a run
ATTACKS = ("evaluate", "audit", "report")


def documented() -> list[str]:
    """The lines, without `mmc` and what follows #; of `a  # or: mmc b` both."""
    found = []
    for page in PAGES:
        text = re.sub(r"\\\n\s*", "", page.read_text(encoding="utf-8"))
        blocks = "".join(re.findall(r"```(?:bash|text)\n(.*?)```", text, flags=re.DOTALL))
        found += re.findall(r"(?:^\$? ?|# or: )mmc (\w[^#\n]*)", blocks, flags=re.MULTILINE)
        found += re.findall(r"`mmc ((?:evaluate|audit|report) [^`]*)`", text)
    return list(dict.fromkeys(line.strip() for line in found))


LINES = documented()
ATTACKING = [line for line in LINES if line.split()[0] in ATTACKS and "--model" not in line]


def test_pages_show_commands_of_every_kind():
    assert {line.split()[0] for line in LINES} >= {"train", "evaluate", "audit", "report", "sweep", "plan", "centers"}
    assert len(ATTACKING) > 8


@pytest.mark.parametrize("line", LINES)
def test_a_documented_command_is_understood(line):
    words = shlex.split(line)
    assert type(parse(words)).__name__.lower() == words[0].replace("-", "")


@pytest.fixture(scope="module")
def done(tmp_path_factory, digits):
    """What each of the lines did, on few images."""
    folder = tmp_path_factory.mktemp("documented")
    names = {word for line in ATTACKING for word in shlex.split(line) if RUN.match(word)}
    for name in {"runs/mnist-sce" if "*" in name else name for name in names}:
        run = create_run(folder / name, recipe := Recipe(epochs=3), facts_of(recipe, digits))
        train(recipe, digits, run=run, device="cpu")
        run.weights_file.with_name("checkpoints").mkdir(exist_ok=True)
        run.checkpoint_file("best").write_bytes(run.weights_file.read_bytes())
    return dict(zip(ATTACKING, drive(folder, [_small(line) for line in ATTACKING]), strict=True))


def _small(line: str) -> list[str]:
    words = ["runs/mnist-mmc" if "*" in word else word for word in shlex.split(line)]
    few = {"evaluate": ["--images", "4"], "audit": ["--images", "8", "--trial-images", "4"]}
    return [*words, "--quiet", *few.get(words[0], [])]


@pytest.mark.slow
@pytest.mark.parametrize("line", ATTACKING)
def test_a_documented_attack_runs_to_its_end(done, line):
    assert (done[line]["code"], done[line]["err"]) == (0, "")
    assert done[line]["out"]
