"""The page in a real browser, at the widths of a phone and a desk; needs Chromium (Debian: apt install chromium)."""

from dataclasses import replace

import pytest
from browser import browser, find_chromium
from made import make_cascade, make_pictures, make_run, make_smallest, make_surfaces, make_trained_run

from max_mahalanobis.reports.page import write_page

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_chromium() is None, reason="no chromium here (Debian: apt install chromium)"),
]
WIDTHS = {"phone": 375, "desk": 1280}
LONG = "a-run-whose-name-was-made-by-a-sweep-over-everything/" * 3
WIDER = "[...document.querySelectorAll('body *')].filter(e => !e.closest('.wide, pre')"
UNREACHED = (
    "[...document.querySelectorAll('*')].filter(e => e.scrollWidth > e.clientWidth + 1 && e.tabIndex < 0"
    " && ['auto', 'scroll'].includes(getComputedStyle(e).overflowX)).map(e => e.outerHTML.slice(0, 80))"
)
FINDING = {"check": "many", "weight": "doubt", "seen": "it " * 40, "why": "w" * 300, "remedy": "wait", "reference": ""}
VERDICT = {
    "number": 0.5, "interval": [0.43, 0.57], "images": 200, "clean": {"number": 0.95, "interval": [0.91, 0.98]},
    "reliability": "doubtful", "robustness": "undecided", "complete": False, "findings": [FINDING],
    "illusion": [{"source": "pgd-20 cross_entropy alone", "reports": 0.88, "points": 38.0}],
    "thresholds": {"robust": 0.5, "broken": 0.1, "illusion": 10.0},
}  # fmt: skip


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A page of everything: a verdict, three runs, cascades, curves, pictures, names too long for a line."""
    runs = [
        make_run(
            audit={"threat": "Linf", "eps": 8 / 255, "verdict": VERDICT}, pictures=make_pictures() | make_surfaces()
        ),
        make_trained_run(),
        make_run(LONG, metrics=[], pictures=None),
    ]
    extra = [*make_cascade("mmc", (150, 90, 80, 70)), *make_smallest("mmc", (0.03, 0.02, 0.02))]
    runs[0] = replace(runs[0], results=[*runs[0].results, *extra])
    return write_page(runs, tmp_path_factory.mktemp("page") / "report.html")


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    with browser(find_chromium(), tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_the_page_fits_its_window_and_is_silent(tab, path, width, dark):
    assert tab.open(path, width, dark=dark) == []  # no request, no console message, no error
    assert tab.value("document.documentElement.scrollWidth") <= width
    assert tab.value("document.body.scrollWidth") <= width
    assert tab.value(f"{WIDER} && e.getBoundingClientRect().right > {width} + 1).map(e => e.outerHTML)") == []


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_whatever_scrolls_sideways_is_reached_by_keyboard(tab, path, width):
    tab.open(path, width)
    assert tab.value(UNREACHED) == []


def test_the_tab_key_walks_from_the_first_link_through_the_whole_page(tab, path):
    tab.open(path, WIDTHS["phone"])
    total = tab.value("document.querySelectorAll('a[href], [tabindex=\"0\"], summary').length")
    places = []
    for _ in range(total):
        tab.press("Tab")
        places.append(tab.value("document.activeElement.getBoundingClientRect().top + scrollY"))
    assert places == sorted(places)
    assert tab.value("document.activeElement.tagName") == "SUMMARY"


def test_the_page_prints_within_a_sheet_recipes_and_all(tab, path):
    tab.open(path, 700, media="print")  # A4 without margins, at 96 dots per inch
    assert tab.value("document.documentElement.scrollWidth") <= 700
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
