import pandas as pd
import pytest

from capscope.data.formats import import_adele, import_logs
from capscope.data.formats.adele import SCALES
from capscope.errors import InputError, JoinError


@pytest.fixture
def battery(tmp_path):
    frame = pd.DataFrame(
        {
            "instance_id": ["001", "002", "003"],
            "prompt": ["One?", "Two,\nthen?", "Three?"],
            "groundtruth": ["1", "2", "3"],
            "answer_format": ["MC", "Open-ended", "MC"],
            "benchmark": ["B1", "B1", "B2"],
            "source": "s",
            "task": ["t", "t", "u"],
            "UG": [75, 100, 50],
            "verification_final": 1,
        }
        | {code: [place % 6, 0, 5] for place, code in enumerate(SCALES)}
    )
    path = tmp_path / "battery.csv"
    frame.to_csv(path, index=False)
    return path


def refused(battery, *tables, error=InputError):
    with pytest.raises(error) as caught:
        import_adele(battery, tables)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def cells(study):
    table = study.responses
    return {(m, i): s for m, i, s in zip(table["model"], table["item_id"], table["score"], strict=True)}


def test_the_battery_alone(battery):
    study, report = import_adele(battery)
    assert study.responses is None
    assert study.items["item_id"].tolist() == ["001", "002", "003"]
    assert study.items["chance"].tolist() == [0.25, 0, 0.5]
    assert study.items["text"].tolist()[1] == "Two,\nthen?"
    assert study.items["target"].tolist() == ["1", "2", "3"]
    assert {"answer_format", "source", "UG"} <= set(study.items)
    assert report.levels == 3 * 18
    assert study.demands["annotator"].unique().tolist() == ["gpt-4o"]
    assert study.demands.set_index(["item_id", "rubric"])["level"]["003", "QLl"] == 5


def test_answers_of_each_kind(battery, write):
    by_question = write("GPT-4o.csv", 'question,verification_final\nThree?,1\n"Two,\nthen?",0\n')
    by_id = write("o1.csv", "custom_id,model_answer,correct\n001,x,True\n003,y,False\n")
    frame = write(
        "results.csv",
        "benchmark,instance_id,model,scaffold,success,n_trials,source\nB1,001,L,none,0.5,4,z\nB1,001,L,tool,1,1,z\n",
    )
    study, report = import_adele(battery, [by_question, by_id])
    assert cells(study) == {("GPT-4o", "003"): 1, ("GPT-4o", "002"): 0, ("o1", "001"): 1, ("o1", "003"): 0}
    assert report.models == 2
    study, _ = import_adele(battery, [frame])
    assert study.responses[["model", "scaffold", "score", "n_trials"]].to_numpy().tolist() == [
        ["L", "none", 0.5, 4],
        ["L", "tool", 1, 1],
    ]


def test_levels_of_each_kind(battery, write):
    header = ",".join(SCALES)
    wide = write("wide.csv", f"custom_id,{header}\n001,{','.join('1' * 18)}\n002,{','.join('2' * 17)},\n")
    long = write(
        "long.csv",
        "custom_id,demand,level,finish_reason,response\n001,AS,3,stop,r\n002,AS,4,length,r\n003,AS,,stop,r\n",
    )
    study, report = import_adele(battery, [wide], annotator="gemini")
    gemini = study.demands[study.demands["annotator"] == "gemini"]
    assert len(gemini) == 35
    assert report.unrated == 1
    study, report = import_adele(battery, [long], annotator="gemini")
    gemini = study.demands[study.demands["annotator"] == "gemini"]
    assert gemini[["item_id", "rubric", "level"]].to_numpy().tolist() == [["001", "AS", 3]]
    assert report.unrated == 2


def test_what_does_not_fit_is_named(battery, write):
    assert "row 2: score is '4'" in refused(battery, write("a.csv", "instance_id,verification_final\n001,1\n002,4\n"))
    lost = refused(battery, write("b.csv", "question,verification_final\nOne?,1\nFour?,1\n"), error=JoinError)
    assert "only 50% of the questions are in the battery (first unknown: row 2)" in lost
    assert "no column names the item" in refused(battery, write("c.csv", "x,correct\n1,1\n"))
    assert "no column holds answers or levels" in refused(battery, write("d.csv", "custom_id,answer\n001,1\n"))
    unknown = refused(battery, write("e.csv", "custom_id,correct\n999,1\n"), error=JoinError)
    assert "only 0% of the item ids in responses are in items (1 unknown: 999)" in unknown
    assert "row 1: level is '7'" in refused(battery, write("f.csv", "custom_id,demand,level\n001,AS,7\n"))


def test_a_broken_battery_is_named(battery, write):
    text = battery.read_text()
    assert """'instance_id' is missing (did you mean "instanceid"?)""" in refused(
        write("a.csv", text.replace("instance_id", "instanceid", 1))
    )
    slip = refused(write("b.csv", text.replace("QLl", "QLI", 1)))
    assert "demand column 'QLl' is missing (did you mean \"QLI\"?)" in slip
    assert "row 1: UG is '175'" in refused(write("c.csv", text.replace(",75,", ",175,", 1)))
    assert "row 3 repeats item_id '001'" in refused(write("d.csv", text.replace("003,Three?", "001,One?")))
    assert "row 3: item_id '001' has two different texts" in refused(write("e.csv", text.replace("003,", "001,")))


def test_a_question_that_stands_twice_needs_an_id(battery, write):
    twice = write("battery2.csv", battery.read_text().replace("Three?", "One?"))
    message = refused(twice, write("m.csv", "question,verification_final\nOne?,1\n"))
    assert "several instances of the battery have this question" in message


def test_replies_that_ended_well_count_whatever_their_server_calls_it_and_rubrics_lose_their_version(tmp_path):
    rows = [("a", "stop"), ("b", "end_turn"), ("c", ""), ("d", "length"), ("e", "content_filter")]
    table = pd.DataFrame(rows, columns=["instance_id", "finish_reason"])
    table.assign(rubric="v2/PLp", level=2, judge_model="NA").to_csv(tmp_path / "l.csv", index=False)
    study = import_logs(tmp_path)
    demands = study.require("demands")
    assert demands["item_id"].astype(str).tolist() == ["a", "b", "c"]
    assert (set(demands["rubric"]), set(demands["annotator"])) == ({"PLp"}, {"NA"})


def test_answers_in_a_folder_go_with_their_battery(battery):
    answers = pd.DataFrame({"instance_id": ["001", "002"], "verification_final": ["True", "False"]})
    answers.to_csv(battery.with_name("gpt.csv"), index=False)
    assert cells(import_logs(battery.parent)) == {("gpt", "001"): 1, ("gpt", "002"): 0}
    with pytest.raises(InputError, match="answers without their battery; give it too"):
        import_logs(battery.with_name("gpt.csv"))


def test_a_table_of_scores_goes_with_levels_that_name_their_judge(tmp_path):
    (tmp_path / "scores.csv").write_text("model,item_id,score\nm,a,1\nm,b,0\n")
    (tmp_path / "levels.csv").write_text("item_id,rubric,level,judge_model\na,AS,1,j\nb,AS,2,j\n")
    study = import_logs(tmp_path)
    assert cells(study) == {("m", "a"): 1, ("m", "b"): 0}
    assert study.require("demands")["item_id"].astype(str).tolist() == ["a", "b"]
