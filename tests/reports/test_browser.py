"""The page in a real browser, at the widths of a phone and a desk; needs Chromium (Debian: apt install chromium)."""

import os
from pathlib import Path

import pytest
from browser import browser, find_chromium
from made import LONG, make_everything, make_hundred

from max_mahalanobis import Recipe, train
from max_mahalanobis.experiments.densities import tell
from max_mahalanobis.reports.density_page import PAGE
from max_mahalanobis.reports.page import write_page
from max_mahalanobis.runs import create_run, facts_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_chromium() is None, reason="no chromium here (Debian: apt install chromium)"),
]
WIDTHS = {"phone": 375, "desk": 1280}
SHEET = 700  # A4 without margins, at 96 dots per inch
UNFOLD = "document.querySelectorAll('details').forEach(each => each.open = true)"
AXE = os.environ.get("AXE")  # the file axe.min.js of npm's axe-core
BARRIERS = (
    "axe.run().then(found => found.violations.filter(each => each.impact != 'minor')"
    ".flatMap(each => each.nodes.map(node => [each.impact, each.id, node.failureSummary, node.html.slice(0, 200)])))"
)
WIDER = "[...document.querySelectorAll('body *')].filter(e => !e.closest('.wide, pre')"
UNREACHED = (
    "[...document.querySelectorAll('*')].filter(e => e.scrollWidth > e.clientWidth + 1 && e.tabIndex < 0"
    " && ['auto', 'scroll'].includes(getComputedStyle(e).overflowX)).map(e => e.outerHTML.slice(0, 80))"
)
UNREADABLE = """[...document.querySelectorAll('svg')].flatMap(drawing => {
    const outer = drawing.getBoundingClientRect();
    const boxed = e => ({text: e.textContent, box: e.getBoundingClientRect()});
    const labels = [...drawing.querySelectorAll('text')].map(boxed);
    const isCut = ({box}) => box.left < outer.left - 1 || box.right > outer.right + 1 || box.top < outer.top - 1
        || box.bottom > outer.bottom + 1;
    const overlap = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1
        && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 3;
    return labels.filter((label, place) => isCut(label) || labels.slice(0, place).some(e => overlap(e.box, label.box)));
}).map(label => label.text)"""


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    return write_page(make_everything(), tmp_path_factory.mktemp("page") / "report.html")


@pytest.fixture(scope="module")
def hundred(tmp_path_factory):
    runs = [make_hundred(name) for name in ("mmc", "sce", "sce-at")]
    return write_page(runs, tmp_path_factory.mktemp("hundred") / "report.html")


@pytest.fixture(scope="module")
def density(tmp_path_factory, digits):
    """The page of `mmc density`, of two short trainings."""
    folder = tmp_path_factory.mktemp("density")
    recipes = {LONG.replace("/", "-"): Recipe(epochs=1), "sce": Recipe(head="softmax", epochs=1)}
    for name, recipe in recipes.items():
        train(recipe, digits, run=create_run(folder / name, recipe, facts_of(recipe, digits)), device="cpu")
    asked = {"images": 300, "convention": "volume", "device": "cpu", "seed": 0, "overwrite": False, "quiet": True}
    tell([folder / name for name in recipes], folder / "told", load=lambda run: digits, **asked)
    return folder / "told" / PAGE


@pytest.fixture(params=["report", "hundred", "density"])
def path(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    with browser(find_chromium(), tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_the_page_fits_its_window_and_is_silent(tab, path, width, dark):
    assert tab.open(path, width, dark=dark) == []  # no request, no console message, no error
    tab.value(UNFOLD)
    assert tab.value("document.documentElement.scrollWidth") <= width
    assert tab.value("document.body.scrollWidth") <= width
    assert tab.value(f"{WIDER} && e.getBoundingClientRect().right > {width} + 1).map(e => e.outerHTML)") == []


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_whatever_scrolls_sideways_is_reached_by_keyboard(tab, path, width):
    tab.open(path, width)
    tab.value(UNFOLD)
    assert tab.value(UNREACHED) == []


def test_no_label_of_a_drawing_is_cut_or_lies_on_another(tab, path):
    tab.open(path, WIDTHS["desk"])
    assert tab.value(UNREADABLE) == []


@pytest.mark.skipif(AXE is None, reason="no axe-core: set AXE to the axe.min.js of npm's axe-core")
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_axe_finds_no_barrier(tab, path, width, dark):
    tab.open(path, width, dark=dark)
    tab.value(UNFOLD)
    tab.value(f"{Path(AXE).read_text()}; null")
    assert tab.value(BARRIERS) == []


def test_the_tab_key_walks_from_the_first_link_through_the_whole_page(tab, report):
    tab.open(report, WIDTHS["phone"])
    tab.value(UNFOLD)
    total = tab.value("document.querySelectorAll('a[href], [tabindex=\"0\"], summary').length")
    places = []
    for _ in range(total):
        tab.press("Tab")
        places.append(tab.value("document.activeElement.getBoundingClientRect().top + scrollY"))
    assert places == sorted(places)
    assert tab.value("document.activeElement.tagName") == "SUMMARY"


def test_the_page_prints_within_a_sheet(tab, path):
    tab.open(path, SHEET, media="print")
    assert tab.value("document.documentElement.scrollWidth") <= SHEET


def test_the_report_prints_what_is_folded_and_no_links_to_its_sections(tab, report):
    tab.open(report, SHEET, media="print")
    assert tab.value("getComputedStyle(document.querySelector('nav')).display") == "none"
    closed = (
        "[...document.querySelectorAll('details pre')].filter(e => !e.checkVisibility({contentVisibilityAuto: true}))"
    )
    assert tab.value(f"{closed}.length") == 0


def test_a_request_and_an_error_would_be_noticed(tab, tmp_path):
    bad = tmp_path / "bad.html"
    bad.write_text("<img src='http://127.0.0.1:9/x.png'><script>console.log(1); throw 2</script>")
    heard = {said["method"] for said in tab.open(bad, 375)}
    assert {"Network.requestWillBeSent", "Runtime.consoleAPICalled", "Runtime.exceptionThrown"} <= heard
