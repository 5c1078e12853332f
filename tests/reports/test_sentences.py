from dataclasses import replace

from made import make_recipe, make_row, make_rows, make_run

from max_mahalanobis.reports.reading import RunRecord
from max_mahalanobis.reports.sentences import SATURATED, UNEXPLAINED, alarms, findings, take_away


def run_of(rows, recipe=None):
    return RunRecord(rows[0].run, recipe, [], rows, None)


def test_a_saturated_mmc_is_flagged_with_both_numbers_and_the_cause(mmc):
    (found,) = findings([mmc])
    assert found.warns
    assert "cross-entropy PGD reports 87.5 %, the adaptive objectives 50.5 %" in found.text
    assert "the first number is not robustness" in found.text
    assert SATURATED in found.text


def test_the_cause_is_not_claimed_for_other_heads(mmc):
    (found,) = findings([replace(mmc, recipe=make_recipe(head="softmax"))])
    assert found.warns
    assert SATURATED not in found.text
    assert UNEXPLAINED in found.text


def test_numbers_that_agree_raise_no_alarm(sce_at):
    (found,) = findings([sce_at])
    assert not found.warns
    assert "they agree within 1.5 points" in found.text
    assert alarms([sce_at]) == []


def test_the_adaptive_number_is_the_worst_case_per_image_not_the_lowest_attack():
    first = make_row("m", "pgd-20 margin", fooled=[i < 100 for i in range(200)])
    second = make_row("m", "pgd-20 own_distance", fooled=[i >= 140 for i in range(200)])
    (found,) = findings([run_of([make_row("m", robust=190), first, second])])
    assert "the adaptive objectives 20.0 %" in found.text


def test_the_strongest_cross_entropy_attack_counts_and_fgsm_does_not():
    rows = [make_row("m", "fgsm", 50), make_row("m", "pgd-10 cross_entropy", 120), make_row("m", robust=101)]
    (found,) = findings([run_of([*rows, make_row("m", "pgd-20 margin", 100)])])
    assert "reports 50.5 %" in found.text


def test_a_gap_on_few_images_is_called_undecided():
    rows = [make_row("m", robust=10, clean=20, num=20), make_row("m", "pgd-20 margin", 8, 20, 20)]
    (found,) = findings([run_of(rows)])
    assert not found.warns
    assert "20 images are too few to tell (p = 0.5)" in found.text


def test_stronger_cross_entropy_is_said_and_not_an_alarm():
    (found,) = findings([run_of([make_row("m", robust=60), make_row("m", "pgd-20 margin", 120)])])
    assert not found.warns
    assert "cross-entropy is the stronger attack here" in found.text


def test_without_adaptive_objectives_robustness_is_unknown():
    (found,) = findings([run_of([make_row("m", robust=180)])])
    assert found.warns
    assert "robustness is unknown" in found.text


def test_curve_rows_make_no_findings():
    assert findings([run_of([make_row(suite="curve")])]) == []
    assert "mmc evaluate" in take_away([run_of([make_row(suite="curve")])])


def test_the_take_away_names_the_best_worst_case_and_says_at_most(mmc, sce_at):
    text = take_away([mmc, sce_at])
    assert "sce-at has the best worst case of 2 runs: at most 76.0 % [" in text
    assert "16.0 points below its clean 92.0 %" in text
    assert "No other run's 95 % interval reaches its own." in text


def test_overlapping_intervals_are_stated_with_the_paired_test(sce_at):
    close = run_of(make_rows("close", (160, 158, 150, 157, 156)))
    far = run_of(make_rows("far", (160, 158, 140, 157, 156)))
    assert "overlaps that of close" in take_away([sce_at, close])
    assert "the order of the two is open" in take_away([sce_at, close])
    assert "yet image by image the two differ" in take_away([sce_at, far])


def test_runs_that_faced_different_attacks_are_ranked_provisionally(mmc, sce_at):
    weaker = run_of(make_rows("weak", (160, 158, 155, 157, 156))[:3])
    assert "this ranking is provisional" in take_away([mmc, weaker])
    assert "provisional" not in take_away([mmc, sce_at])


def test_one_run_is_not_ranked():
    text = take_away([make_run()])
    assert "mmc is right on 95.0 % when clean and on at most 50.5 %" in text
    assert "44.5 points less" in text


def test_a_targeted_attack_that_breaks_it_does_not_hide_what_the_untargeted_one_reports():
    """On MMC, cross-entropy toward a class keeps its gradient: it must not stand in for the number people quote."""
    rows = [*make_rows("mmc", (190, 175, 101, 101, 101)), make_row("mmc", "pgd-20 cross_entropy targeted", 90)]
    (found,) = findings([run_of(rows, make_recipe(head="mmc"))])
    assert found.warns
    assert "cross-entropy PGD reports 87.5 %" in found.text
