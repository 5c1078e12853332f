"""What an audit amounts to: the number to report, whether to believe it, and what it says of the model."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from ..errors import UserError
from ..results import AttackResult, cross_entropy_rows, worst_case
from ..statistics import Proportion, proportion, robustness
from .checks import Evidence, Finding, findings_in

SCHEMA = 1  # of the JSON form


@dataclass(frozen=True)
class Thresholds:
    """Where words begin: shares of the clean accuracy, and points of overstatement."""

    robust: float | int = 0.5
    broken: float | int = 0.1
    illusion: float | int = 10.0

    def __post_init__(self):
        if not 0 <= self.broken <= self.robust <= 1:
            words = f"robust {self.robust} and broken {self.broken}"
            raise UserError(f"{words} must descend within [0, 1]: they are shares of the clean accuracy")
        if not (math.isfinite(self.illusion) and self.illusion >= 0):
            raise UserError(f"illusion {self.illusion} must be points of accuracy, 0 or more")


@dataclass(frozen=True)
class Illusion:
    """A number somebody might quote in place of the true one."""

    source: str
    reports: Proportion
    points: float


@dataclass(frozen=True)
class Verdict:
    """`number` is the share of images that no attack fooled: an upper bound of the robust accuracy.

    Its interval is Wilson's; where a rule stopped the evaluation early, the wider one that is right whenever one stops.

    `reliability`: doubtful when a finding gives a reason why the truth may be lower. `robustness`: robust when the
    interval lies above half of the clean accuracy, broken when below a tenth, weak when below half, else undecided.
    `illusion`: the numbers that overstate this one by more than 10 points, the worst first.
    """

    threat: str
    eps: float
    clean: Proportion
    number: Proportion
    reliability: Literal["reliable", "doubtful"]
    robustness: Literal["robust", "weak", "broken", "undecided"]
    illusion: Sequence[Illusion]
    findings: Sequence[Finding]
    thresholds: Thresholds
    complete: bool = True

    def to_json(self) -> dict:
        """The published form: `number` and `interval` in [0, 1]; schema 1."""
        return {
            "schema": SCHEMA,
            "threat": self.threat,
            "eps": self.eps,
            "verdict": {
                "number": self.number.value,
                "interval": [self.number.low, self.number.high],
                "images": self.number.total,
                "clean": {"number": self.clean.value, "interval": [self.clean.low, self.clean.high]},
                "reliability": self.reliability,
                "robustness": self.robustness,
                "illusion": [
                    {"source": each.source, "reports": each.reports.value, "points": each.points}
                    for each in self.illusion
                ],
                "findings": [asdict(finding) for finding in self.findings],
                "complete": self.complete,
                "thresholds": asdict(self.thresholds),
            },
        }

    def in_words(self) -> str:
        """The verdict in one sentence."""
        start = (
            f"{self.number} of {self.number.total:,} images hold ({self.threat} eps {self.eps:.6g}; clean {self.clean})"
        )
        illusions = "".join(
            f" {each.source} says {100 * each.reports.value:.1f} %: an illusion of {each.points:.1f} points."
            for each in self.illusion[:1]
        )
        doubts = sum(finding.weight == "doubt" for finding in self.findings)
        why = f" for {doubts} reason{'s' if doubts > 1 else ''}" if doubts else ""
        incomplete = "" if self.complete else " Incomplete: the model failed on some images."
        return f"{start}: {self.robustness}, and the number is {self.reliability}{why}.{incomplete}{illusions}"


def judge(
    evidence: Evidence,
    *,
    quoted: Sequence[tuple[str, Sequence[AttackResult]]] = (),
    thresholds: Thresholds | None = None,
) -> Verdict:
    """The verdict on recorded evidence; `quoted` are (name, rows) whose worst case somebody might quote alone."""
    thresholds = thresholds or Thresholds()
    fooled = fooled_by_any(evidence)
    rows = evidence.rows
    clean = proportion(rows[0].num_correct, rows[0].num_images, evidence.interval)
    number = proportion(len(fooled) - sum(fooled), len(fooled), evidence.interval)
    claims = [(name, worst_case(some)) for name, some in [*_cross_entropy(rows), *quoted] if some]
    illusions = [
        Illusion(
            name,
            proportion(len(flags) - sum(flags), len(flags), evidence.interval),
            100 * (sum(fooled) - sum(flags)) / len(flags),
        )
        for name, flags in claims
    ]
    illusions = sorted((each for each in illusions if each.points > thresholds.illusion), key=lambda each: -each.points)
    findings = findings_in(evidence)
    return Verdict(
        threat=rows[0].threat,
        eps=rows[0].eps,
        clean=clean,
        number=number,
        reliability="doubtful" if any(finding.weight == "doubt" for finding in findings) else "reliable",
        robustness=robustness(
            number.count,
            number.total,
            clean.value,
            thresholds=(thresholds.robust, thresholds.broken),
            method=evidence.interval,
        ),
        illusion=illusions,
        findings=findings,
        thresholds=thresholds,
        complete=not evidence.crashes,
    )


def fooled_by_any(evidence: Evidence) -> list[bool]:
    """Per image of the rows: fooled by one of them, or by a trial within the same budget."""
    rows = evidence.rows
    fooled = dict(zip(rows[0].index, worst_case(rows), strict=True))
    for trial in evidence.trials.values():
        if (trial.threat, trial.eps) == (rows[0].threat, rows[0].eps):
            for image, fell, tried in zip(trial.index, trial.fooled, trial.attempted, strict=True):
                fooled[image] = fooled.get(image, True) or (fell and tried)
    for image in evidence.facts.get("lost_images", ()):
        fooled |= {image: True} if image in fooled else {}
    return [fooled[image] for image in rows[0].index]


def is_plain_cross_entropy(settings: Mapping) -> bool:
    """Whether settings are of what people quote: many steps of one size along cross-entropy, aimed at no class."""
    is_long = settings.get("objective") == "cross_entropy" and settings.get("steps", 0) > 1
    return is_long and "step_size" in settings and "targeted" not in settings


def _cross_entropy(rows: Sequence[AttackResult]) -> list[tuple[str, list[AttackResult]]]:
    """The strongest of the attacks that people quote among those that met every image."""
    quoted = [row for row in cross_entropy_rows(rows) if is_plain_cross_entropy(row.settings)]
    return [(f"{row.attack} alone", [row]) for row in quoted[:1]]
