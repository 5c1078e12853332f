import io

from made import make_row, make_rows
from rich.console import Console

from max_mahalanobis.reports.reading import RunRecord
from max_mahalanobis.reports.tables import accuracy_tables, as_markdown, as_rich, cost_tables, recipe_table


def run_of(rows):
    return RunRecord(rows[0].run, None, [], rows, None)


def test_a_line_holds_clean_each_attack_and_the_worst_case_with_intervals(mmc):
    (table,) = accuracy_tables([mmc])
    names = ("fgsm", *(f"pgd-20 {name}" for name in ("cross_entropy", "margin", "own_distance", "nearest_other")))
    assert table.header == ("run", "clean", *names, "worst case")
    assert [cell.text for cell in table.rows[0]] == ["mmc", "95.0", "75.0", "87.5", "50.5", "60.0", "55.0", "50.5"]
    assert table.rows[0][-1].detail == "[43.6, 57.4]"
    assert "200 images of digits (test), Linf eps 8/255" in table.title


def test_only_the_overstating_cross_entropy_number_carries_a_dagger(mmc, sce_at):
    (table,) = accuracy_tables([mmc, sce_at])
    assert [[cell.suspect for cell in row].count(True) for row in table.rows] == [1, 0]
    assert table.rows[0][3].suspect
    assert any(note.startswith("†") for note in table.notes)


def test_the_worst_case_is_taken_per_image():
    first = make_row("m", "pgd-20 margin", fooled=[i < 100 for i in range(200)])
    second = make_row("m", "pgd-20 own_distance", fooled=[i >= 140 for i in range(200)])
    assert accuracy_tables([run_of([first, second])])[0].rows[0][-1].text == "20.0"


def test_other_images_budgets_threats_or_suites_never_share_a_table():
    changes = ({}, {"eps": 16 / 255}, {"threat": "L2", "eps": 0.5}, {"suite": "paper"}, {"num": 100})
    tables = accuracy_tables([run_of([make_row("m", **change) for change in changes])])
    assert len({table.title for table in tables}) == len(tables) == 5
    shifted = make_row("m", index=list(range(5, 205)))
    titles = [table.title for table in accuracy_tables([run_of([make_row("m"), shifted])])]
    assert titles[0] != titles[1]
    assert "images 5 to 204" in titles[1]


def test_an_attack_a_run_did_not_meet_is_a_dash_with_a_note(mmc):
    (table,) = accuracy_tables([mmc, run_of(make_rows("b", (1, 2, 3, 4, 5))[:2])])
    assert [cell.text for cell in table.rows[1]][4:7] == ["–"] * 3
    assert "fewer attacks" in table.notes[-1]


def test_several_seeds_of_one_attack_become_their_worst_case_and_say_so():
    (table,) = accuracy_tables([run_of([make_row("m", robust=120), make_row("m", robust=110, seed=1)])])
    assert table.rows[0][2].text == "55.0"
    assert "worst of 2" in table.rows[0][2].detail


def test_costs_are_passes_per_image_and_seconds(mmc):
    (table,) = cost_tables([mmc])
    assert (table.rows[0][1].text, table.rows[0][1].detail) == ("41.0", "1.25 s")
    assert (table.rows[0][-1].text, table.rows[0][-1].detail) == ("205.0", "6.25 s")


def test_recipes_are_summed_up_where_they_are_known(mmc, sce_at):
    table = recipe_table([mmc, sce_at, run_of([make_row("bare")])])
    assert [row[0].text for row in table.rows] == ["mmc", "sce-at"]
    assert (table.rows[1][4].text, table.rows[1][4].detail) == ("PGD-10 climbing cross_entropy", "Linf eps 8/255")
    assert table.rows[0][6].text == "26,122"
    assert recipe_table([run_of([make_row("bare")])]) is None


def test_markdown_keeps_its_columns_whatever_a_run_is_called():
    text = as_markdown(accuracy_tables([run_of(make_rows("a|b\nc<i>", (9, 8, 7, 6, 5)))])[0])
    lines = [line.replace("\\|", "") for line in text.splitlines() if line.startswith("|")]
    assert len(lines) == 3
    assert {line.count("|") for line in lines} == {9}
    assert "<i>" not in text


def test_the_terminal_shows_names_as_they_are(mmc):
    console = Console(file=io.StringIO(), width=200)
    console.print(as_rich(accuracy_tables([run_of(make_rows("[red]a[/red]", (9, 8, 7, 6, 5)))])[0]))
    console.print(as_rich(accuracy_tables([mmc])[0]))
    shown = console.file.getvalue()
    assert "[red]a[/red]" in shown
    assert "87.5 †" in shown
