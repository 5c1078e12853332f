"""The verdicts of audits, in words."""

from collections.abc import Sequence
from typing import NamedTuple

from ..conditions import eps_text, norm_name
from ..reading import RunRecord
from .words import Sentence

MEANING = {
    "robust": "robust: more than {robust:g} of what is right when clean holds",
    "weak": "weak: less than {robust:g} of what is right when clean holds",
    "broken": "broken: less than {broken:g} of what is right when clean holds",
    "undecided": "undecided: its interval reaches to both sides of {robust:g} of the clean accuracy",
}


class VerdictText(NamedTuple):
    """What the page says first of a run: its number, what that means and overstates it, what was found and measured."""

    name: str
    number: str
    meaning: str
    reliability: Sentence
    illusions: Sequence[Sentence]
    findings: Sequence[Sentence]
    measured: Sequence[Sentence] = ()


def verdicts_on(run: RunRecord) -> list[VerdictText]:
    """What each audit of the run came to."""
    return [_verdict(run.name, audit) for audit in run.audits]


def _verdict(name: str, audit: dict) -> VerdictText:
    verdict = audit["verdict"]
    low, high = (f"{100 * bound:.1f}" for bound in verdict["interval"])
    budget = f"{norm_name(audit['threat'])} eps {eps_text(audit['eps'], audit['threat'])}"
    images = "images" if audit["split"] in ("", "test") else f"{audit['split']} images"
    incomplete = "" if verdict["complete"] else "Incomplete: "
    number = (
        f"{incomplete}{100 * verdict['number']:.1f} % [{low}, {high}] of {verdict['images']:,} {images} hold under "
        f"{budget}; clean {100 * verdict['clean']['number']:.1f} %"
    )
    doubts = [finding for finding in verdict["findings"] if finding["weight"] == "doubt"]
    because = f"doubtful: {len(doubts)} reason{'s' if len(doubts) > 1 else ''} why the true accuracy may be lower"
    calm = "reliable: no check found a reason why the true accuracy would be lower"
    illusions = [
        Sentence(
            f"{each['source']} reports {100 * each['reports']:.1f} %, {each['points']:.1f} points too much: an "
            "illusion.",
            warns=True,
        )
        for each in verdict["illusion"]
    ]
    failed = [Sentence("The evaluation is incomplete: the model failed.", warns=True)] if incomplete else []
    return VerdictText(
        name,
        number,
        MEANING[verdict["robustness"]].format(**verdict["thresholds"]),
        Sentence(because if doubts else calm, warns=bool(doubts)),
        [*failed, *illusions],
        [_told(finding) for finding in verdict["findings"]],
        detection_sentences(audit.get("facts", {})),
    )


def detection_sentences(facts: dict) -> list[Sentence]:
    """How well a low score would tell attacked images from clean ones, if an audit's facts say it."""
    if "detection" not in facts:
        return []
    areas = " and ".join(f"{area:.2f} by the {score}" for score, area in facts["detection"].items())
    images = f"{facts['images']:,} images right when clean" if "images" in facts else "images right when clean"
    return [
        Sentence(
            "Refusing what scores low would tell attacked images from clean ones with an area under the ROC curve of "
            f"{areas} (1: always; 0.5: no better than chance; below: attacked images score higher), on {images} and "
            "the same after 20 steps of PGD on the margin. That attack does not try to escape the detector: an "
            "adversary who does leaves at most this."
        )
    ]


def _told(finding: dict) -> Sentence:
    source = f" ({finding['reference']})" if finding["reference"] else ""
    seen = finding["seen"]
    seen = f"{seen[:1].upper()}{seen[1:]}" if seen.split()[0].isalpha() else seen  # names of attacks stay as they are
    return Sentence(
        f"{seen}. Why it matters: {finding['why']}. Next: {finding['remedy']}.{source}", finding["weight"] == "doubt"
    )
