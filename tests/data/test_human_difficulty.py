"""Human difficulty: tables of chess puzzles, contest problems and tasks with minutes become items and levels."""

import json
from pathlib import Path

import numpy as np
import pytest

from capscope.data import Study
from capscope.data.formats import import_logs
from capscope.errors import InputError
from pins.running import run

CHESS = """PuzzleId,FEN,Moves,Rating,RatingDeviation,Popularity,NbPlays,Themes,GameUrl,OpeningTags
00008,r6k/pp2r2p/4Rp1Q/3p4/8/1N1P2R1/PqP2bPP/7K b - - 0 24,f2g3 e6e7,1799,76,95,8317,crushing middlegame,https://x/1,
0000D,5rk1/1p3ppp/pq3b2/8/8/1P1Q1N2/P4PPP/3R2K1 w - - 2 27,d3d6 f8d8,1518,75,97,32455,advantage endgame,https://x/2,
0008Q,8/4R3/1p2P3/p4r2/P6p/1P3Pk1/4K3/8 w - - 1 64,e7f7 f5e5,3620,500,94,640,endgame,https://x/3,
"""
ATCODER = "problem_id,difficulty,solver_count\nabc100_a,-750,9000\nagc001_f,3400,40\nagc002_a,,12\n"
METR = "task_id,task_family,human_minutes,human_minutes_sd,human_source\na/1,a,1,0.5,baseline\nb/2,b,600,300,estimate\n"
CODEFORCES = {
    "status": "OK",
    "result": {
        "problems": [
            {"contestId": 1, "index": "A", "name": "Theatre Square", "rating": 1000, "tags": ["math"]},
            {"contestId": 2, "index": "C", "name": "Commentator", "rating": 2600, "tags": ["geometry", "search"]},
        ],
        "problemStatistics": [
            {"contestId": 1, "index": "A", "solvedCount": 250000},
            {"contestId": 2, "index": "C", "solvedCount": 3000},
        ],
    },
}


def study_of(tmp_path: Path, name: str, text: str) -> Study:
    (tmp_path / name).write_text(text)
    return import_logs(tmp_path / name)


def test_chess_puzzles_keep_rating_deviation_and_themes(tmp_path: Path) -> None:
    study = study_of(tmp_path, "puzzles.csv", CHESS)
    items = study.require("items").set_index("item_id")
    assert items.loc["00008", "rating"] == 1799
    assert items.loc["0000D", "rating_sd"] == 75
    assert items.loc["0000D", "Themes"] == "advantage endgame"
    levels = study.require("demands").set_index("item_id")
    np.testing.assert_allclose(levels["level"], [1799 / 700, 1518 / 700, 5.0])
    np.testing.assert_allclose(levels["sd"], [76 / 700, 75 / 700, 500 / 700])
    assert set(levels["annotator"].astype(str)) == {"human:lichess"}
    notes = " ".join(study.sources["notes"]) if "notes" in study.sources else ""
    assert "rating points" in notes
    assert "1 item lies beyond" in notes


def test_contest_problems_and_minutes_are_recognised(tmp_path: Path) -> None:
    problems = study_of(tmp_path, "cf.json", json.dumps(CODEFORCES)).require("items").set_index("item_id")
    assert problems.loc["2C", "rating"] == 2600
    assert problems.loc["1A", "solvedCount"] == 250000
    atcoder = study_of(tmp_path, "atcoder.csv", ATCODER)
    assert atcoder.require("items")["item_id"].astype(str).tolist() == ["abc100_a", "agc001_f"]
    assert atcoder.require("demands")["level"].tolist() == [0.0, 3400 / 700]
    tasks = study_of(tmp_path, "tasks.csv", METR)
    levels = tasks.require("demands").set_index("item_id")
    np.testing.assert_allclose(levels["level"], [2.0, 2 + np.log10(600)])
    np.testing.assert_allclose(levels["sd"], np.array([0.5, 0.5]) / np.log(10))
    assert tasks.require("items")["human_source"].tolist() == ["baseline", "estimate"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (METR.replace("600,300", "0,300"), "row 2: human_minutes is '0'; give a number above 0"),
        (METR.replace("b/2", "a/1"), "item 'a/1' is there twice"),
        (METR.replace("600,300", "600,-1"), "row 2: human_minutes_sd is negative"),
        (ATCODER.replace("3400", "hard"), "row 2: difficulty is 'hard'; give a number"),
    ],
)
def test_values_that_are_none_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        study_of(tmp_path, "table.csv", text)


@pytest.mark.slow
def test_minutes_are_added_to_a_study_of_answers(tmp_path: Path) -> None:
    (tmp_path / "scores.csv").write_text("model,item_id,score\nm,a/1,1\nm,b/2,0\nn,a/1,1\nn,b/2,1\n")
    (tmp_path / "tasks.csv").write_text(METR)
    code, _, problem = run(["import", "tidy", str(tmp_path / "scores.csv"), "--out", str(tmp_path / "s")])
    assert code == 0, problem
    command = ["import", "human-difficulty", str(tmp_path / "tasks.csv"), "--into", str(tmp_path / "s")]
    code, printed, problem = run(command)
    assert code == 0, problem
    assert "minutes (level = 2 + log10 of the minutes)" in printed + problem
    study = Study.load(tmp_path / "s")
    assert study.require("items")["minutes"].astype(float).tolist() == [1.0, 600.0]
    assert len(study.require("demands")) == 2
