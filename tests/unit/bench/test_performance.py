"""Arithmetic, tables and page of ``bench.performance``, and the measurement of known processes."""

import copy
import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench.performance.commands import Missing, call, tool
from bench.performance.decoding import capstone, counted, iced
from bench.performance.fit import Line, exponent, line
from bench.performance.inputs import Inputs, found, series, steps, tree
from bench.performance.memory import descendants, tree_kib
from bench.performance.page import PageError, rewritten
from bench.performance.plot import MARKED, POINT, svg
from bench.performance.process import Run, run
from bench.performance.race import HPBUILD, LIMIT, Document, Lane, Race, Track, held, trouble
from bench.performance.rows import FASTER, HASH, MEMORY, SECONDS, TIMES, Aim, rows
from bench.performance.rows import series as series_of
from bench.performance.sections import code_runs, code_size
from bench.performance.tables import duration, parts, table, targets
from bench.sources import ROOT, Pair


def figures(wall: float, cpu: float = 0.0, peak: float = 10.0) -> Document:
    values = {"wall": wall, "cpu": cpu or wall, "peak": peak}
    return {name: {"median": value, "runs": [value]} for name, value in values.items()}


def lane(name: str, wall: float, role: str = HPBUILD, **rest: float) -> Document:
    return {"name": name, "role": role, "about": f"about {name}", "facts": {}, **figures(wall, **rest)}


def document(*races: Document, others: float = 0.0) -> Document:
    machine = {
        "processor": "P", "processors": 2, "memory_mib": 2048, "system": "Linux", "python": "3.11",
        "versions": {"hpbuild": "1"}, "date": "2026-01-01", "others": others,
    }  # fmt: skip
    return {"machine": machine, "rounds": 3, "quick": False, "races": list(races)}


def race(name: str, *lanes: Document, **facts: int) -> Document:
    return {"name": name, "about": "", "facts": facts, "lanes": list(lanes)}


NODE = race(
    "node.exe",
    lane("iced, bare", 4.0, LIMIT, cpu=8.0),
    lane("sha256sum", 0.5, LIMIT),
    lane("--version", 0.25),
    lane("diff", 9.0, cpu=20.0, peak=1400.0),
    lane("build", 24.0, peak=3100.0),
    lane("verify", 0.8),
)
SIZES = (1.0, 2.0, 5.0, 20.0, 100.0)


def by_size(*seconds: float) -> Document:
    lanes = []
    for size, second in zip(SIZES, seconds, strict=True):
        row = lane(f"p{size:.0f}", second, peak=60 + 5 * size)
        row["facts"] = {"bytes": int(size * 1e6), "code": int(size * 5e5)}
        lanes.append(row)
    return race("linearity", *lanes)


STRAIGHT = by_size(*(0.5 + 0.2 * size for size in SIZES))


class TestProcess:
    def one(self, code: str, limit: float = 600) -> Run:
        return run((sys.executable, "-c", code), folder=Path.cwd(), environment=dict(os.environ), limit=limit)

    def test_status_and_output_are_kept(self) -> None:
        done = self.one("import sys; print('said'); print('wrong', file=sys.stderr); sys.exit(3)")
        assert (done.status, done.output, done.errors) == (3, "said\n", "wrong\n")

    def test_cpu_time_of_children_counts(self) -> None:
        child = "import os, time\nif os.fork() == 0:\n while time.process_time() < 0.4: pass\n os._exit(0)\n"
        busy = child + "os.wait()"
        assert self.one(busy).cpu >= 0.4

    def test_memory_of_parent_and_child_is_added_up(self) -> None:
        held_by_both = (
            "import os, time\n"
            "read, write = os.pipe()\n"
            "child = os.fork()\n"
            "block = bytes(range(256)) * 400000\n"  # 98 MiB in each, nothing shared
            "if child == 0: os.write(write, b'x')\n"
            "else: os.read(read, 1)\n"
            "time.sleep(SECONDS)\n"
            "if child: os.wait()"
        )
        assert self.peaks_within(held_by_both, 190, 300)

    def test_what_is_shared_after_a_fork_counts_once(self) -> None:
        shared = "import os, time\nblock = bytes(range(256)) * 400000\nos.fork()\ntime.sleep(SECONDS)"
        assert self.peaks_within(shared, 95, 150)

    def peaks_within(self, code: str, low: float, high: float) -> bool:
        """Whether the peak of a program is found to be between these. It keeps its memory for longer where
        nobody looked at it in time: on a machine with other work."""
        return any(low < self.one(code.replace("SECONDS", held)).peak < high for held in ("0.5", "5", "30"))

    def test_a_command_that_takes_too_long_is_ended(self) -> None:
        assert self.one("import time; time.sleep(600)", limit=0.05).status is None

    def test_everything_below_a_process_is_found(self) -> None:
        code = (
            "import subprocess, sys; subprocess.run([sys.executable, '-c', 'print(1, flush=True); input()'])"
        )
        pipe = subprocess.PIPE
        with subprocess.Popen((sys.executable, "-c", code), stdin=pipe, stdout=pipe) as process:
            assert process.stdout is not None
            process.stdout.readline()
            assert len(list(descendants(process.pid))) == 2
            assert tree_kib(process.pid) > 1000
            process.communicate(b"\n")
        assert tree_kib(process.pid) == 0


class TestRace:
    def track(self, folder: Path, budget: float = 60) -> tuple[Track, list[str]]:
        said: list[str] = []
        return Track(folder=folder, rounds=3, budget=budget, say=said.append), said

    def lane(self, name: str, text: str, **rest: object) -> Lane:
        command = ("sh", "-c", f"{text}")
        return Lane(name=name, role=HPBUILD, about="", command=command, **rest)  # type: ignore[arg-type]

    def order(self, folder: Path) -> str:
        return (folder / "log").read_text().replace("\n", "")

    def test_lanes_take_turns(self, tmp_path: Path) -> None:
        lanes = (self.lane("a", "echo a >> log"), self.lane("b", "echo b >> log", rounds=2))
        result = held(Race(name="r", about="", lanes=lanes), self.track(tmp_path)[0])
        assert self.order(tmp_path) == "ababa"
        assert [len(row["wall"]["runs"]) for row in result["lanes"]] == [3, 2]

    def test_every_run_is_preceded_by_the_same_command(self, tmp_path: Path) -> None:
        lanes = (self.lane("a", "echo a >> log"), self.lane("b", "echo b >> log"))
        before = ("sh", "-c", "echo - >> log")
        result = held(Race(name="r", about="", lanes=lanes, before=before), self.track(tmp_path)[0])
        assert self.order(tmp_path) == "-a-b-a-b-a-b"
        assert [len(row["wall"]["runs"]) for row in result["lanes"]] == [3, 3]
        result = held(
            Race(name="r", about="", lanes=lanes, before=("sh", "-c", "exit 3")), self.track(tmp_path)[0]
        )
        assert [row["out"] for row in result["lanes"]] == ["exit status 3"] * 2

    def test_a_lane_that_fails_is_out_and_the_others_go_on(self, tmp_path: Path) -> None:
        lanes = (self.lane("bad", "echo why >&2; exit 7"), self.lane("good", "echo g >> log"))
        result = held(Race(name="r", about="", lanes=lanes), self.track(tmp_path)[0])
        assert result["lanes"][0]["out"] == "exit status 7: why"
        assert self.order(tmp_path) == "ggg"

    def test_a_lane_that_is_absent_is_not_run(self, tmp_path: Path) -> None:
        lanes = (self.lane("gone", "echo x >> log", absent="not installed"),)
        result = held(Race(name="r", about="", lanes=lanes), self.track(tmp_path)[0])
        assert result["lanes"][0]["out"] == "not installed"
        assert not (tmp_path / "log").exists()

    def test_no_round_begins_when_the_time_is_used_up(self, tmp_path: Path) -> None:
        track, said = self.track(tmp_path, budget=0)
        held(Race(name="r", about="", lanes=(self.lane("a", "echo a >> log"),)), track)
        assert self.order(tmp_path) == "a"
        assert "no more" in said[-1]

    def test_what_a_run_makes_is_removed_before_the_next(self, tmp_path: Path) -> None:
        fresh = (tmp_path / "made", tmp_path / "folder")
        text = "test ! -e made && test ! -e folder && touch made && mkdir -p folder/in"
        lanes = (self.lane("a", text, fresh=fresh, afterwards=(("sh", "-c", "echo s >> log"),)),)
        result = held(Race(name="r", about="", lanes=lanes), self.track(tmp_path)[0])
        assert len(result["lanes"][0]["wall"]["runs"]) == 3
        assert self.order(tmp_path) == "sss"

    def test_facts_that_a_command_prints_are_kept(self, tmp_path: Path) -> None:
        lanes = (self.lane("a", """echo '{"instructions": 7, "other": 1}'""", facts={"size": 2}),)
        result = held(Race(name="r", about="", lanes=lanes), self.track(tmp_path)[0])
        assert result["lanes"][0]["facts"] == {"size": 2, "instructions": 7}

    def test_settings_of_the_user_change_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HPBUILD_JOBS", "7")
        lanes = (
            self.lane("a", 'echo "${HPBUILD_JOBS-none} $GIVEN" >> log', environment={"GIVEN": "x"}, rounds=1),
        )
        held(Race(name="r", about="", lanes=lanes), self.track(tmp_path)[0])
        assert self.order(tmp_path) == "none x"

    def test_expected_statuses_are_no_trouble(self) -> None:
        done = Run(status=1, wall=1, cpu=1, peak=1, output="", errors="")
        assert trouble(self.lane("a", ""), done) == "exit status 1"
        assert trouble(self.lane("a", "", expected=(0, 1)), done) == ""


class TestRows:
    def test_every_kind_of_target(self) -> None:
        aims = (
            Aim("node.exe", "diff", TIMES, 2.5, "iced, bare"),
            Aim("node.exe", "diff", TIMES, 2.2, "iced, bare"),
            Aim("node.exe", "diff", MEMORY, 1536),
            Aim("node.exe", "build", MEMORY, 3072),
            Aim("node.exe", "diff", SECONDS, 9.0),
            Aim("node.exe", "verify", HASH, 1.3, "sha256sum"),
            Aim("node.exe", "diff", FASTER, 2.0, "build"),
            Aim("node.exe", "diff", FASTER, 3.0, "build"),
            Aim("node.exe", "diff", TIMES, None, "build"),
        )
        found_rows = rows(document(NODE), aims)
        values = [round(row.value, 3) for row in found_rows if row.value is not None]
        assert values == [2.25, 2.25, 1400, 3100, 9.0, 1.1, 2.667, 2.667, 0.375]
        assert [row.met for row in found_rows] == [True, False, True, False, True, True, True, False, None]
        assert found_rows[0].cpu_ratio == 2.5

    def test_a_missing_lane_and_a_missing_race_say_why(self) -> None:
        gone = {"name": "sha256sum", "role": LIMIT, "about": "", "facts": {}, "out": "not installed"}
        without = race("node.exe", *(gone if row["name"] == "sha256sum" else row for row in NODE["lanes"]))
        aim = Aim("node.exe", "verify", HASH, 1.3, "sha256sum")
        (row,) = rows(document(without), (aim,))
        assert (row.met, row.why) == (None, "sha256sum: not installed")
        (row,) = rows(document({"name": "node.exe", "out": "no file"}), (aim,))
        assert (row.met, row.why) == (None, "no file")
        assert rows(document(), (aim,)) == ()


class TestFit:
    def test_points_on_a_line_give_it_back(self) -> None:
        fitted = line([(x, 0.5 + 0.25 * x) for x in (0.1, 1, 10, 100)])
        assert (round(fitted.start, 9), round(fitted.slope, 9)) == (0.5, 0.25)
        assert fitted.distance((10, 6.0)) == pytest.approx(2.0)

    def test_small_points_count_as_much_as_large_ones(self) -> None:
        """Double one end of a line: the fit stays near the small points, where least squares of the absolute
        errors would follow the large one."""
        points = [(1.0, 1.0), (2.0, 2.0), (3.0, 3.0), (100.0, 200.0)]
        assert line(points).at(2.0) < 2.7

    def test_a_line_never_begins_below_zero(self) -> None:
        fitted = line([(1, 0.5), (2, 2.0), (4, 8.0)])
        assert fitted.start == 0
        assert fitted.slope > 0

    @pytest.mark.parametrize("power", [1.0, 2.0, 0.5])
    def test_the_exponent_is_the_power(self, power: float) -> None:
        assert exponent([(x, 3 * x**power) for x in (1, 2, 5, 50)]) == pytest.approx(power)

    @pytest.mark.parametrize("fit", [line, exponent])
    def test_one_size_is_not_enough(self, fit: object) -> None:
        with pytest.raises(ValueError, match="two different sizes"):
            fit([(1.0, 1.0), (1.0, 2.0)])  # type: ignore[operator]


class TestSeries:
    def test_pairs_on_the_line(self) -> None:
        drawn = series_of(document(STRAIGHT))
        assert drawn is not None
        assert drawn.off() == ()
        assert drawn.time.slope == pytest.approx(0.2)
        assert drawn.memory.start == pytest.approx(60)
        assert drawn.exponent is not None
        assert drawn.exponent < 1

    def test_a_pair_off_the_line_is_named(self) -> None:
        drawn = series_of(document(by_size(0.7, 0.9, 4.5, 4.5, 20.5)))
        assert drawn is not None
        assert drawn.off() == ("p5",)
        picture = svg(drawn)
        assert picture.count(MARKED) == 1
        assert picture.count(POINT) == 9

    def test_sizes_that_are_much_alike_make_no_line(self) -> None:
        few = race("linearity", *STRAIGHT["lanes"][:3])
        assert series_of(document(few)) is None
        assert series_of(document({"name": "linearity", "out": "no pairs"})) is None
        assert series_of(document(NODE)) is None

    def test_a_pair_that_failed_is_left_out(self) -> None:
        broken = copy.deepcopy(STRAIGHT)
        broken["lanes"][1] = {"name": "p2", "role": HPBUILD, "about": "", "facts": {}, "out": "exit status 4"}
        drawn = series_of(document(broken))
        assert drawn is not None
        assert drawn.names == ("p1", "p5", "p20", "p100")
        assert drawn.left_out == (("p2", "exit status 4"),)

    def test_the_picture_is_xml_and_always_the_same(self) -> None:
        drawn = series_of(document(STRAIGHT))
        assert drawn is not None
        picture = svg(drawn)
        assert picture == svg(drawn)
        tree_of_it = ElementTree.fromstring(picture)
        assert len(tree_of_it.findall("{http://www.w3.org/2000/svg}circle")) == 2 * len(SIZES)


class TestTables:
    def test_the_outcome_is_in_the_table(self) -> None:
        text = targets(document(NODE))
        assert (
            "| node.exe | diff | 9.00 s | iced, bare | 4.00 s | 2.25 x | 2.50 x | at most 2.5 x | yes |"
            in text
        )
        assert "| at most 5 x | **no** |" in text
        assert "| 1.10 x |  | at most 1.3 x, less start-up | yes |" in text

    def test_few_pairs_are_not_enough(self) -> None:
        row = next(text for text in targets(document(STRAIGHT)).splitlines() if "off the line" in text)
        assert "0 off the line" in row
        assert "**no**" in row

    def test_a_busy_machine_is_provisional(self) -> None:
        assert parts(document(NODE))["machine"].startswith("- 2 processors")
        assert "**Provisional:** others used 40 %" in parts(document(NODE, others=0.4))["machine"]

    def test_targets_that_were_missed_are_listed(self) -> None:
        text = parts(document(NODE, by_size(0.7, 0.9, 4.5, 4.5, 20.5)))["missed"]
        assert "- node.exe, build / iced, bare: 6.00 x; asked for: at most 5 x" in text
        assert "- linearity: p5: more than 1.5 x off the line" in text
        assert "node.exe, diff" not in text
        assert parts(document(STRAIGHT))["missed"] == "Nothing."

    def test_a_remark_stands_above_the_figures(self) -> None:
        assert parts({**document(NODE), "note": "Old."})["machine"].startswith("Old.\n\n- 2 processors")

    def test_throughput_of_a_tree(self) -> None:
        whole = race("tree", lane("one job", 10.0), files=250, different=200, bytes=50_000_000)
        text = parts(document(whole))["tree"]
        assert "250 PE files on each side; 200 differ" in text
        assert "| about one job | 10.00 s | 5.0 |" in text

    def test_what_was_left_out_is_listed(self) -> None:
        gone = {"name": "bsdiff", "role": "peer", "about": "", "facts": {}, "out": "not installed"}
        texts = parts(document(race("x", gone), {"name": "y", "out": "no file"}))
        assert texts["left-out"] == "- x, bsdiff: not installed\n- y: no file"
        assert parts(document(NODE))["left-out"] == "Nothing."

    @pytest.mark.parametrize(
        ("seconds", "text"),
        [(0.0123, "12.3 ms"), (0.5, "0.50 s"), (12.345, "12.35 s"), (345.6, "346 s"), (None, "")],
    )
    def test_durations(self, seconds: float | None, text: str) -> None:
        assert duration(seconds) == text

    def test_rows_have_as_many_cells_as_the_head(self) -> None:
        for text in parts(document(NODE, STRAIGHT)).values():
            lines = [text for text in text.splitlines() if text.startswith("|")]
            assert len({text.count("|") for text in lines}) <= 1
        assert table(("a", "b"), [("1", "2")]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"


class TestPage:
    PAGE = (
        "# T\n\n<!-- figures: one -->\n\nold\n\n<!-- end of figures -->\n\nwords\n\n"
        "<!-- figures: two -->\n<!-- end of figures -->\n"
    )

    def test_places_are_filled_and_words_stay(self) -> None:
        text = rewritten(self.PAGE, {"one": r"new \1", "two": "2"})
        assert r"<!-- figures: one -->" "\n\n" r"new \1" in text
        assert "old" not in text
        assert "\n\nwords\n\n" in text
        assert rewritten(text, {"one": r"new \1", "two": "2"}) == text

    @pytest.mark.parametrize("given", [{"one": ""}, {"one": "", "two": "", "three": ""}])
    def test_a_page_that_does_not_fit_is_refused(self, given: dict[str, str]) -> None:
        with pytest.raises(PageError):
            rewritten(self.PAGE, given)

    def test_the_committed_page_fits(self) -> None:
        page = (ROOT / "docs" / "performance.md").read_text()
        assert "x y z" in rewritten(page, dict.fromkeys(parts(document(NODE)), "x y z"))


class TestInputs:
    def test_sizes_grow_by_the_same_factor(self) -> None:
        assert steps(1, 1000, 4) == pytest.approx([1, 10, 100, 1000])

    def test_the_series_takes_nearest_sizes_and_no_equal_files(self, tmp_path: Path) -> None:
        pairs = []
        for size, equal in ((200_000, False), (210_000, True), (2_000_000, False), (2_100_000, False)):
            paths = [tmp_path / f"{size}-{side}" for side in "bf"]
            for path, text in zip(paths, (b"a", b"a" if equal else b"b"), strict=True):
                path.write_bytes(text * size)
            pairs.append(Pair("g", f"{size}", paths[0], paths[1]))
        chosen = series(Inputs(tuple(pairs), (), quick=False))
        assert [pair.name for pair in chosen] == ["200000", "2000000", "2100000"]

    def test_a_tree_of_examples_has_links_or_copies_of_both_sides(self, tmp_path: Path) -> None:
        inputs = found(tmp_path, quick=True)
        laid = tree(inputs, tmp_path / "tree")
        assert laid.files == len(inputs.pairs) > 20
        assert 0 < laid.different <= laid.files
        for side in (laid.baseline, laid.fixed):
            files = [path for path in side.rglob("*") if path.is_file()]
            assert len(files) == laid.files
            assert not any(path.is_symlink() for path in files)

    def test_nothing_at_hand_is_an_empty_series(self, tmp_path: Path) -> None:
        assert series(found(tmp_path, quick=False)) == ()


class TestTools:
    def test_a_program_that_is_not_there_is_absent(self) -> None:
        assert tool("no-such-program-here", "").absent == "no-such-program-here is not installed"

    def test_a_step_that_fails_says_why(self, tmp_path: Path) -> None:
        with pytest.raises(Missing, match="exit status 2: why"):
            call((sys.executable, "-c", "import sys; print('why', file=sys.stderr); sys.exit(2)"), tmp_path)

    def test_code_of_an_image_is_where_the_sections_say(self, binaries: Path) -> None:
        path = binaries / "baseline" / "codec.dll"
        ((offset, size),) = code_runs(path)
        assert 0 < size == code_size(path)
        assert offset + size <= path.stat().st_size

    def test_a_file_that_is_no_image_has_no_code(self, tmp_path: Path) -> None:
        path = tmp_path / "x.dll"
        path.write_bytes(b"MZ" + bytes(200))
        assert code_size(path) == 0
        with pytest.raises(ValueError, match="not a PE image"):
            code_runs(path)

    def test_both_decoders_count_the_same_plain_code(self) -> None:
        code = bytes.fromhex("554889e55dc390")
        assert iced(code) == capstone(code) == 5

    def test_windows_cut_no_instruction(self) -> None:
        code = bytes.fromhex("48b88877665544332211") * 20_000 + b"\xc3"  # movabs rax, ...; 10 bytes each
        assert iced(code) == capstone(code) == 20_001

    def test_an_image_is_decoded_whole(self, binaries: Path) -> None:
        path = binaries / "baseline" / "codec.dll"
        instructions, size, _ = counted("iced", path)
        assert size == code_size(path)
        assert size / 15 < instructions <= size


def test_the_whole_command_on_the_smallest_race(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench.performance", "--quick", "--rounds", "1", "--only", "start-up"]
    done = subprocess.run(
        [*command, "--output", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    result = json.loads((tmp_path / "performance.json").read_text())
    (start,) = result["races"]
    assert "out" not in start, start
    assert {row["name"] for row in start["lanes"] if "out" not in row} >= {"python", "--help", "inspect"}
    assert "| start-up | --help |" in done.stdout
    assert (tmp_path / "performance.md").read_text() in done.stdout + "\n"
    assert "start-up, round 1, inspect" in done.stderr


def test_figures_of_an_earlier_run_fill_a_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text((ROOT / "docs" / "performance.md").read_text())
    figures_file = tmp_path / "run.json"
    figures_file.write_text(json.dumps(document(NODE, STRAIGHT)))
    command = [sys.executable, "-m", "bench.performance", "--again", str(figures_file), "--page", str(page)]
    subprocess.run([*command, "--output", str(tmp_path / "out")], cwd=ROOT, capture_output=True, check=True)
    assert "| node.exe | diff | 9.00 s |" in page.read_text()
    assert page.with_suffix(".svg").read_text() == (tmp_path / "out" / "performance.svg").read_text()


def test_line_at() -> None:
    assert Line(1.0, 2.0).at(3.0) == 7.0
