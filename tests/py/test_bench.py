"""bench/ without measuring: rounds, rows that could not be run, drift, and the pages that are made of the results."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
import xml.etree.ElementTree

import pytest

TREE = pathlib.Path(__file__).parents[2]
sys.path.append(str(TREE / "bench"))

import report as pages  # noqa: E402
from frame import TAIL, Bench, Row, Section, Side, Unavailable, amount, read_rows, run_section  # noqa: E402


def record_of(run, **options):
    """The results of a section, through JSON as a later run reads them."""
    return json.loads(json.dumps(run_section(Section("fake", "A fake", run), Bench(say=lambda line: None, **options))))


def row_of(**given):
    return Row("fake", "a row", theirs="a peer", **given)


# ---- Rounds -----------------------------------------------------------------------------------------------------


def test_the_sides_take_turns_and_none_always_follows_the_same_one():
    order = []
    sides = [Side(name, lambda name=name: order.append(name), turns=2) for name in "ab"]
    sides.append(Side("c", lambda: order.append("c"), turns=1, every=2))
    Bench(say=lambda line: None).alternate(sides, rounds=3)
    assert "".join(order) == "abc" + "aabbc" + "bbaa" + "bbcaa"  # the first turn of each is not counted
    assert [len(turns) for turns in sides[0].rounds] == [2, 2, 2]
    assert [len(turns) for turns in sides[2].rounds] == [1, 0, 1]


@pytest.mark.parametrize("at_least, figure, word", [(False, 2.0, "MISSED"), (True, 0.5, "holds")])
def test_the_figure_is_the_median_of_the_rounds_and_knows_its_direction(at_least, figure, word):
    def run(bench):
        ours = Side("ours", rounds=[[2.0, 2.0], [40.0], [8.0], []])
        theirs = Side("theirs", rounds=[[1.0], [10.0, 30.0], [8.0], [1.0]])
        bench.row("a row", ours, theirs, target=1.9 if not at_least else 0.5, at_least=at_least)

    (row,) = read_rows(record_of(run))
    assert (row.figure, row.word, row.rounds) == (figure, word, 3)
    assert row.low <= row.figure <= row.high and row.p99 == 40.0


def test_what_do_returns_is_taken_for_its_measure_and_else_its_time():
    own, timed = Side("own", lambda: 7.0), Side("timed", lambda: 7)
    Bench(say=lambda line: None).alternate([own, timed], rounds=3)
    assert own.p50 == 7.0 and 0 <= timed.p50 < 1


def test_a_side_that_fails_has_rows_that_say_why_and_the_others_go_on():
    def run(bench):
        calls = iter(range(100))

        def seldom():
            if next(calls) == 1:
                raise RuntimeError("once")
            return 1.0

        sides = [Side("good", lambda: 1.0), Side("broken", lambda: 1 // 0), Side("seldom", seldom)]
        bench.alternate(sides, rounds=5)
        for side in sides[1:]:
            bench.row("a row", sides[0], side, target=1)
        with bench.attempt("a third"):
            raise Unavailable("firejail is not installed (apt install firejail)")
        raise OSError("see https://example.org/x \x1b[31mred\x1b[0m /tmp/a/b")

    broken, seldom, third, last = read_rows(record_of(run))
    assert broken.word == "not run" and broken.reason.startswith("broken: ZeroDivisionError: ") and not broken.holds
    assert seldom.figure == 1.0 and seldom.detail == "1 rounds of seldom failed"
    assert third.reason == "firejail is not installed (apt install firejail)"
    assert last.reason == "OSError: see … red …"


def test_of_many_turns_in_a_row_the_first_is_not_counted():
    calls = []
    side = Side("a", lambda: calls.append(1), turns=12)
    Bench(say=lambda line: None).alternate([side], rounds=2)
    assert len(calls) == 1 + 2 * 13 and [len(turns) for turns in side.rounds] == [12, 12]


def test_what_does_not_end_is_ended_and_says_so():
    program = (
        "import frame, time; frame.TURNS_SECONDS, frame.SECTION_SECONDS = 0.05, 2\n"
        "def run(bench):\n"
        "    side = frame.Side('slow', lambda: time.sleep(30), turns=2)\n"
        "    bench.alternate([side], 3); bench.row('a row', side, side); time.sleep(30)\n"
        "bench = frame.Bench(patience=True, say=lambda line: None)\n"
        "frame.run_section(frame.Section('s', 'S', run), bench)\n"
        "print([row.reason for row in bench.rows])\n")  # fmt: skip
    words = subprocess.check_output([sys.executable, "-c", program], cwd=TREE / "bench", text=True, stderr=subprocess.DEVNULL)
    assert words == "['slow: TimeoutError: no end within 0.05 s', 'TimeoutError: no end within 2 s']\n"


def test_quick_is_a_sixth_of_the_rounds():
    side = Side("a", lambda: 1.0, turns=1)
    Bench(quick=True, say=lambda line: None).alternate([side], rounds=60)
    assert len(side.rounds) == 10


@pytest.mark.parametrize("value, unit, words", [
    (0.000431, "s", "431 µs"), (-0.00002, "s", "-20.0 µs"), (2.0, "s", "2.00 s"), (14e-9, "s", "14.0 ns"), (0.3, "MB", "0.30 MB"),
    (1290.0, "/s", "1,290 /s"), (None, "s", "")])  # fmt: skip
def test_amounts_are_for_people(value, unit, words):
    assert amount(value, unit) == words


# ---- Drift ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("old, new, words", [
    ({"figure": 1.0, "low": 0.9, "high": 1.1}, {"figure": 1.2, "low": 1.15, "high": 1.25}, ""),  # apart, and not far
    ({"figure": 1.0, "low": 0.9, "high": 1.4}, {"figure": 1.4, "low": 1.3, "high": 1.5}, ""),  # far, and not apart
    ({"figure": 1.0, "low": 0.9, "high": 1.1}, {"figure": 1.4, "low": 1.3, "high": 1.5}, "1.00, now 1.40 (40% worse)"),
    ({"figure": 1.0, "low": 0.9, "high": 1.1}, {"figure": 0.5, "low": 0.4, "high": 0.6}, "1.00, now 0.50 (50% better)"),
    ({"figure": 10, "at_least": True}, {"figure": 7.0, "at_least": True}, "10.0, now 7.00 (30% worse)"),
    ({"figure": 1.0, "target": 1.02}, {"figure": 1.05, "target": 1.02}, "1.00, now 1.05 (within the noise; holds, now MISSED)"),
    ({"figure": 1.0}, {"reason": "it is gone"}, "1.00, now it is gone"),
    ({"reason": "it was not there"}, {"figure": 1.0}, "it was not there, now 1.00"),
    ({"reason": "it is not there"}, {"reason": "it is there, and does not start"}, ""),
])  # fmt: skip
def test_a_row_has_moved_if_it_is_far_away_and_outside_of_the_noise(old, new, words):
    assert pages.moved(row_of(**old), row_of(**new)) == (f"fake: a row against a peer: {words}" if words else "")


def test_a_tail_may_double():
    assert not pages.moved(Row("s", "r", theirs=TAIL, figure=2.0), Row("s", "r", theirs=TAIL, figure=3.9))
    assert pages.moved(Row("s", "r", theirs=TAIL, figure=2.0), Row("s", "r", theirs=TAIL, figure=4.1))


def test_rows_that_are_new_or_gone_are_named_and_sections_that_were_not_run_are_not():
    old = record_of(lambda bench: [bench.value(name, 1.0, "MB") for name in ("kept", "old")])
    new = record_of(lambda bench: [bench.value(name, 1.0, "MB") for name in ("kept", "young")])
    assert pages.drift([old], [new]) == ["new:  fake: young: 1.00 MB", "gone: fake: old: it was 1.00 MB"]
    assert pages.drift([old], [old]) == pages.drift([old], []) == []
    assert pages.drift([], [new]) == ["new:  fake, a section of 2 rows"]


# ---- Pages ------------------------------------------------------------------------------------------------------

RECORD = {
    "section": "fake", "title": "A fake", "about": "About it.", "date": "2026-01-02", "commit": "abc", "quick": False,
    "machine": {"processor": "P", "cpus": 2, "memory_mb": 2048, "kernel": "6.1", "python": "3.11.2"}, "load_at_start": 0.1,
    "load_at_end": 0.2, "seconds": 3, "rows": [
        {"name": "1|1", "state": "tight", "ours": "run", "theirs": "fork", "kind": "floor", "p50": 0.0004, "p99": 0.001,
         "theirs_p50": 0.0002, "theirs_p99": 0.0005, "figure": 2.0, "target": 2.5},
        {"name": "memory", "figure": 0.4, "figure_unit": "MB", "target": 0.35, "detail": "private"},
        {"name": "gone", "theirs": "crun", "reason": "crun is not installed (apt install crun)"},
        {"name": "live", "figure": 3.0, "at": 10.0}, {"name": "live", "figure": 4.0, "at": 100.0}]}  # fmt: skip

TABLE = """\
| | ours: p50 (p99) | against | its p50 (p99) | figure | target | |
|---|---:|---|---:|---:|---:|---|
| 1\\|1, tight | 400 µs (1.00 ms) | fork (floor) | 200 µs (500 µs) | 2.00 | ≤ 2.5 | holds |
| memory |  |  |  | 0.40 MB | ≤ 0.35 | **MISSED**; private |
| gone |  | crun |  | not run |  | not run: crun is not installed (apt install crun) |"""


def test_a_page_is_its_source_with_the_marks_filled():
    source = "# P\n\n<!-- machine -->\n\n<!-- table: fake -->\n\n<!-- plot: margins -->\n\n<!-- plot: lines fake | guests | MB -->\n\n<!-- rest -->\n\nEnd.\n"
    text, drawn = pages.page(source, [RECORD])
    assert "P, 2 CPUs, 2 GiB, Linux 6.1, CPython 3.11.2; 2026-01-02.\n\n### A fake\n\nAbout it.\n\n" + TABLE in text
    assert "![margins](plots/margins.svg)\n\n![lines fake : guests : MB](plots/fake.svg)\n\n\n\nEnd.\n" in text
    assert set(drawn) == {"docs/plots/margins.svg", "docs/plots/fake.svg"}
    for drawing in drawn.values():
        xml.etree.ElementTree.fromstring(drawing)
    assert "### A fake" in pages.page("<!-- rest -->\n", [RECORD])[0]


def test_every_kind_of_plot_is_drawn_and_an_unknown_one_is_an_error():
    name, drawing = pages.plot("times fake | tight", [RECORD])
    assert name == "fake-tight" and drawing.count("<circle") == 2
    assert pages.plot("times fake | asleep", [RECORD]) == ("fake-asleep", "")
    with pytest.raises(ValueError, match="no plot is called that"):
        pages.plot("pie fake", [RECORD])


def test_the_pages_of_the_tree_show_what_the_results_have():
    assert pages.stale(TREE, pages.RESULTS) == [], "scripts/readme-bench writes them"


def test_every_section_has_a_name_of_its_own_and_words_for_its_readers():
    program = ("import bench, json; found = bench.sections(); "
               "print(json.dumps([(s.word, s.title, bool(s.run.__doc__)) for s in found]))")  # fmt: skip
    found = json.loads(subprocess.check_output([sys.executable, "-c", program], cwd=TREE / "bench"))
    assert len({word for word, _, _ in found}) == len(found) > 10
    assert [word for word, title, described in found if not title or not described] == []
    committed = {record["section"] for record in pages.load(pages.RESULTS)}
    assert committed <= {word for word, _, _ in found}, "bench/results/ has a section that is measured no more"


def test_a_peer_that_is_not_there_says_how_it_is_installed():
    program = "import peers, contextlib; print([s.reason for s in peers.sides_of(peers.COLD[:2], '', contextlib.ExitStack())])"
    words = subprocess.check_output([sys.executable, "-c", program], cwd=TREE / "bench", text=True, env={"PATH": "/nonexistent",
                                    "PYTHONPATH": ":".join(sys.path)})  # fmt: skip
    assert words == "['bubblewrap is not installed (apt install bubblewrap)', 'firejail is not installed (apt install firejail)']\n"
