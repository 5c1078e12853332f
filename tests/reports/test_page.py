import os
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files

import pytest
from made import make_everything, make_hundred, make_pictures, make_row, make_run, make_surfaces, make_trained_run

from max_mahalanobis import reports
from max_mahalanobis.errors import UserError
from max_mahalanobis.reports.page import page, unbroken, write_page
from max_mahalanobis.reports.reading import RunRecord

RUNS = [make_run(), replace(make_trained_run("sce-at"), metrics=[], pictures=None)]
VOID = {"meta", "br", "hr", "img", "link", "input"}


class Outline(HTMLParser):
    """Which tags, ids and links a page has; fails where tags are not closed in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.ids, self.links = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.ids += [value for key, value in attrs if key == "id"]
        self.links += [value for key, value in attrs if key in ("href", "src", "xlink:href", "srcset", "data")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def text():
    return page(RUNS)


def test_the_page_is_wellformed_with_unique_ids_and_links_that_exist(text):
    outline = Outline(text)
    assert len(outline.ids) == len(set(outline.ids))
    inside = {link[1:] for link in outline.links if link.startswith("#")}
    assert inside <= set(outline.ids)
    assert text.startswith("<!DOCTYPE html>")


def test_the_page_needs_no_network_and_runs_no_script(text):
    outline = Outline(text)
    assert "script" not in outline.tags
    assert "link" not in outline.tags
    assert all(link.startswith(("#", "data:image/png")) for link in outline.links)
    assert not re.search(r"@import|url\((?!#)", text)


def test_the_page_says_the_take_away_then_the_alarm_then_the_rest(text):
    said = ["sce-at has the best worst case", "the first number is not robustness", "What was trained"]
    places = [text.index(part) for part in said]
    assert places == sorted(places)
    assert text.count("<figure>") == 4
    assert text.count('class="lacks"') == 3
    assert "No training metrics of sce-at: report on its run folder." in text


def test_a_section_without_a_table_is_neither_there_nor_linked(text):
    assert [f'id="{name}"' in text for name in ("pairs", "unions", "steps")] == [True, True, False]
    alone = page([RunRecord("bare", None, [], [make_row("bare")], None)])
    for name in ("pairs", "unions", "steps"):
        assert f'id="{name}"' not in alone
        assert f'href="#{name}"' not in alone
    more = page([RunRecord("bare", None, [], [make_row("bare"), make_row("bare", "pgd-50 cross_entropy", 90)], None)])
    assert "pgd cross_entropy</th>" in more
    Outline(more)


def test_runs_with_everything_fill_every_section_there_is():
    template = (files(reports) / "page.html").read_text(encoding="utf-8")
    outline = Outline(page(make_everything()))
    assert set(re.findall(r'<section id="(\w+)"', template)) <= set(outline.ids)
    assert len(outline.ids) == len(set(outline.ids))


@pytest.mark.slow
def test_a_page_of_a_hundred_classes_stays_small_and_folds_their_tables():
    text = page([make_hundred(name) for name in ("mmc", "sce", "sce-at")])
    assert len(text.encode()) < 5e6
    classes = re.search(r'<section id="classes">.*?</section>', text, re.DOTALL)[0]
    folded = "".join(re.findall("<details>.*?</details>", classes, re.DOTALL))
    assert folded.count('<th scope="row">') == classes.count('<th scope="row">') == 2 * 3 * 100  # suites, runs, classes


def test_the_loss_around_an_image_has_a_section_only_where_a_run_kept_it(text):
    assert 'id="surfaces"' not in text
    assert 'href="#surfaces"' not in text
    result = page([make_run(pictures=make_pictures() | make_surfaces()), RUNS[1]])
    assert 'href="#surfaces"' in result
    assert result.count("<figure>") == text.count("<figure>") + 1
    assert result.count('class="lacks"') == text.count('class="lacks"')
    outline = Outline(result)
    assert len(outline.ids) == len(set(outline.ids))
    assert all(link.startswith(("#", "data:image/png")) for link in outline.links)


def test_a_note_stands_once_in_its_section_but_a_mark_is_explained_under_each_table():
    rows = [row for eps in (0.1, 0.2) for row in make_run(curve=False).results for row in [replace(row, eps=eps)]]
    text = page([RunRecord("m", None, [], rows, None)])
    assert text.count("95 % Wilson intervals") == 1
    assert text.count("† not robustness") == 2


def test_a_table_wider_than_long_is_turned_and_one_named_by_two_columns_is_grouped(text):
    assert text.count('<table class="turned">') == 4  # recipes, trainings, accuracy, costs
    assert '<th scope="rowgroup" colspan="4"><span>sce-at</span></th>' in text


def test_the_same_runs_give_the_same_bytes(text):
    assert page(RUNS) == text


def test_a_narrow_cell_breaks_behind_brackets_and_between_clauses_alone():
    assert unbroken("1.25 s, met 1500") == "1.25\u00a0s, met\u00a01500"
    assert unbroken("[78.3, 86.1] worst of 3") == "[78.3,\u00a086.1] worst\u00a0of\u00a03"


def test_names_holding_html_are_escaped():
    evil = "<script>alert(1)</script>"
    run = make_run(evil, metrics=[], pictures=make_pictures(num=30, shown=1))
    run.recipe["trained_on"]["class_names"] = [evil] * 10
    result = page([run], title=evil)
    assert "<script" not in result
    assert "&lt;script&gt;" in result
    Outline(result)


def test_other_weights_of_a_run_have_numbers_of_their_own_and_share_its_recipe():
    best = RunRecord("mmc@best", RUNS[0].recipe, [], [make_row("mmc@best")], None, shares_training=True)
    text = page([RUNS[0], best])
    assert "mmc@best" in text
    assert text.count("<summary>Recipe of") == 1
    assert 'class="lacks"' not in text


def test_bare_rows_make_a_page_that_says_what_is_missing():
    result = page([RunRecord("bare", None, [], [make_row("bare")], None, ("bare: a note.",))])
    for what in ("recipe", "training metrics", "budget curve", "features", "example images"):
        assert f"No {what} of bare:" in result
    assert "mmc evaluate" in result
    assert "bare: a note." in result
    Outline(result)


def test_curve_rows_alone_make_a_page(mmc):
    rows = [row for row in mmc.results if row.suite == "curve"]
    text = page([replace(mmc, results=rows, pictures=None, metrics=[])])
    Outline(text)
    assert "There are no attack rows beyond the budget curve" in text


def test_a_page_is_written_whole_and_leaves_nothing_else_behind(tmp_path):
    bare = RunRecord("bare", None, [], [make_row("bare")], None)
    target = tmp_path / "new" / "report.html"
    assert write_page([bare], target) == target
    assert target.read_text() == page([bare])
    assert os.listdir(target.parent) == ["report.html"]


def test_a_place_that_cannot_be_written_is_refused_in_one_line(tmp_path):
    bare = RunRecord("bare", None, [], [make_row("bare")], None)
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "file" / "report.html", tmp_path / "folder"):
        with pytest.raises(UserError, match="cannot write") as caught:
            write_page([bare], path)
        assert "\n" not in str(caught.value)
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]
    with pytest.raises(UserError, match="no runs"):
        write_page([], tmp_path / "report.html")


def test_reports_work_where_torch_is_not_installed():
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from max_mahalanobis.reports import figures, page, reading, sentences, tables\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
