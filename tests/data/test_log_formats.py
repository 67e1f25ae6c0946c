"""Logs that real tools wrote (tests/data/fixtures, made by scripts/make-fixtures), and what must not become a score."""

import json
import shutil
import zipfile
from pathlib import Path

import pytest

from capscope.data import Study
from capscope.data.formats import import_every_eval_ever, import_helm, import_inspect, import_lm_eval
from capscope.errors import InputError

FIXTURES = Path(__file__).parent / "fixtures"
INSPECT = FIXTURES / "inspect"
LM_EVAL = FIXTURES / "lm_eval"
HELM = FIXTURES / "helm"
EEE = FIXTURES / "every_eval_ever"


def cells(study):
    """Return scores by model and item."""
    table = study.responses
    return {(m, i): s for m, i, s in zip(table["model"], table["item_id"], table["score"], strict=True)}


def refused(importer, *arguments, **options):
    """Return the one line with which an import is refused."""
    with pytest.raises(InputError) as caught:
        importer(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def edited(source, target, change):
    """Copy a file of JSON lines, every line changed in place by a function of its number and record."""
    records = lines_of(source)
    for number, record in enumerate(records, 1):
        change(number, record)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("".join(json.dumps(record) + "\n" for record in records))
    return target


# Inspect


def test_epochs_are_trials_and_ids_may_be_numbers():
    study, report = import_inspect([INSPECT / "sums-alpha.eval"])
    responses = study.responses.set_index("item_id")
    assert set(responses.index) == {"sums:0", "sums:1", "sums:q2", "sums:q3"}
    assert (responses["n_trials"] == 2).all()
    assert report.rows == 8
    means = {"sums:0": [1, 1], "sums:1": [9, 2]}
    log = {name: [] for name in means}
    for summary in member(INSPECT / "sums-alpha.eval", "summaries.json"):
        if f"sums:{summary['id']}" in log:
            log[f"sums:{summary['id']}"].append(float(summary["scores"]["match"]["value"] == "C"))
    for item, values in log.items():
        assert responses["score"][item] == sum(values) / 2


def member(path, name):
    from capscope.data.formats.eval_archive import EvalArchive

    with EvalArchive(path) as archive:
        return archive.member(name)


def test_members_are_packed_as_zipfile_cannot_read_them():
    with zipfile.ZipFile(INSPECT / "sums-alpha.eval") as archive:
        assert {info.compress_type for info in archive.infolist()} == {93}


def test_json_and_eval_logs_of_one_task_share_their_items():
    study, _ = import_inspect([INSPECT / "sums-alpha.eval", INSPECT / "sums-beta.json"])
    assert len(study.items) == 4
    assert study.items["text"].tolist()[0] == "What is 0+1?"
    beta = {item: score for (model, item), score in cells(study).items() if model == "mockllm/beta"}
    assert beta == {"sums:0": 1, "sums:1": 0, "sums:q2": 0, "sums:q3": 0}


def test_letters_unscored_and_failed_samples():
    study, report = import_inspect([INSPECT / "graded-alpha.eval"], ["verdict"])
    by_item = {item.split(":")[1]: score for (_, item), score in cells(study).items()}
    scored = {s["id"]: s["scores"]["verdict"]["value"] for s in graded() if s["scores"]}
    worth = {"C": 1.0, "P": 0.5, "I": 0.0}
    assert by_item == {str(name): worth[value] for name, value in scored.items() if value in worth}
    assert sorted(map(str, scored.values())) == ["C", "I", "N", "P", "nan"]
    assert report.not_administered == 3
    assert "3 records have no score; they are no responses" in report.notes
    assert "graded-alpha.eval: 1 sample ended in an error: ValueError('no answer from the tool')" in report.notes
    wrong, report = import_inspect([INSPECT / "graded-alpha.eval"], ["verdict"], no_answer="wrong")
    assert len(wrong.responses) == len(study.responses) + 1
    assert report.not_administered == 2


def graded():
    return member(INSPECT / "graded-alpha.eval", "summaries.json")


def test_scorers_are_chosen_and_ids_of_two_tasks_stay_apart():
    message = refused(import_inspect, [INSPECT / "graded-alpha.eval"])
    assert "scored under 3 names (verdict, style.brief, style.polite); choose one with --scorer NAME" in message
    study, _ = import_inspect([INSPECT], ["style.polite", "match", "choice"])
    assert cells(study)["mockllm/alpha", "graded:0"] == 0.25
    assert {"graded:0", "sums:0"} <= set(study.items["item_id"])
    assert study.items.set_index("item_id")["n_options"]["choices:2"] == 3
    assert "not 'verdct' (did you mean \"verdict\"?)" in refused(
        import_inspect, [INSPECT / "graded-alpha.eval"], ["verdct"]
    )
    assert "scored under match, not 'verdict' or 'choice'; choose with --scorer, which may be repeated" in refused(
        import_inspect, [INSPECT], ["verdict", "choice"]
    )


def test_a_text_that_the_summary_cut_short_is_read_whole():
    study, _ = import_inspect([INSPECT / "graded-alpha.eval"], ["verdict"])
    text = study.items.set_index("item_id")["text"]["graded:p"]
    assert text == "Read this and count the words. " * 200
    cut = next(summary["input"] for summary in graded() if summary["id"] == "p")
    assert cut.endswith("(content truncated)")


def test_an_unfinished_log_is_read_from_its_journal(tmp_path):
    path = tmp_path / "cut.eval"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("_journal/start.json", "_journal/summaries/1.json"):
            archive.writestr(name, json.dumps(member(INSPECT / "sums-alpha.eval", name)))
    study, report = import_inspect([path])
    assert cells(study) == cells(import_inspect([INSPECT / "sums-alpha.eval"])[0])
    assert report.notes == ("cut.eval: the run ended as 'started'; its 8 samples are taken",)


def test_damaged_logs_are_refused(tmp_path):
    whole = (INSPECT / "sums-alpha.eval").read_bytes()
    cut, bent, other = (tmp_path / f"{name}.eval" for name in ("cut", "bent", "other"))
    cut.write_bytes(whole[:-40])
    assert f"{cut}: not a readable .eval file" in refused(import_inspect, [cut])
    with zipfile.ZipFile(INSPECT / "sums-alpha.eval") as archive:
        info = archive.getinfo("summaries.json")
    start = info.header_offset + 30 + len(info.filename) + 20
    bent.write_bytes(whole[:start] + bytes(20) + whole[start + 20 :])
    assert "member summaries.json cannot be unpacked" in refused(import_inspect, [bent])
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("a.txt", "hello")
    assert "this is no Inspect log" in refused(import_inspect, [other])
    plain = tmp_path / "plain.json"
    plain.write_text("{}")
    assert "has no 'eval'" in refused(import_inspect, [plain])


def test_the_same_run_twice_is_refused(tmp_path):
    again = Path(shutil.copy(INSPECT / "sums-alpha.eval", tmp_path / "again.eval"))
    message = refused(import_inspect, [INSPECT / "sums-alpha.eval", again])
    assert message.startswith(f"{again}: row 1 repeats model 'mockllm/alpha', item_id 'sums:0'")


def test_a_solver_is_a_scaffold_and_a_value_that_is_no_score_is_named(tmp_path):
    log = json.loads((INSPECT / "sums-beta.json").read_text())
    log["eval"]["solver"] = "react"
    path = tmp_path / "solver.json"
    path.write_text(json.dumps(log))
    study, _ = import_inspect([path, INSPECT / "sums-beta.json"])
    assert sorted(study.responses["scaffold"].unique()) == ["none", "react"]
    log["samples"][2]["scores"]["match"]["value"] = 7
    path.write_text(json.dumps(log))
    item = f"sums:{log['samples'][2]['id']}"
    assert f"{path}: sample 3: match of item '{item}': score is '7'" in refused(import_inspect, [path])


# lm-evaluation-harness


def test_inspects_own_lists_in_a_folder_of_logs_are_passed_over(tmp_path):
    shutil.copy(INSPECT / "sums-alpha.eval", tmp_path)
    (tmp_path / "logs.json").write_text('{"sums-alpha.eval": {}}')
    study, report = import_inspect([tmp_path])
    assert cells(study) == cells(import_inspect([INSPECT / "sums-alpha.eval"])[0])
    assert "logs.json" not in str(report)
    assert "has no 'eval'" in refused(import_inspect, [tmp_path / "logs.json"])


def test_filters_and_metrics_are_chosen_never_mixed():
    sums = [next((LM_EVAL / "toy__alpha").glob("samples_sums_*"))]
    assert "answers filtered by 2 names (strict-match, flexible-extract)" in refused(import_lm_eval, sums)
    strict, _ = import_lm_eval(sums, filters=["strict-match"])
    lax, report = import_lm_eval(sums, filters=["flexible-extract"])
    assert [sum(cells(study).values()) for study in (strict, lax)] == [0, 1]
    assert report.rows == 3
    message = refused(import_lm_eval, [LM_EVAL], filters=["strict-match", "none"])
    assert "scored under 2 names (acc, acc_norm); choose one with --metric NAME" in message


def test_models_groups_options_and_texts():
    study, _ = import_lm_eval([LM_EVAL], ["acc", "exact_match"], ["none", "flexible-extract"])
    assert sorted(study.responses["model"].unique()) == ["toy/alpha", "toy/beta"]
    items = study.items.set_index("item_id")
    assert items["benchmark"].to_dict() | {"pick:0": "toys", "sums:0": "sums"} == items["benchmark"].to_dict()
    assert items["text"]["pick:1"] == "Which is a number?\ntree\nstone\nseven"
    assert items["n_options"].to_dict()["pick:2"] == 4
    assert items["chance"].to_dict()["pick:2"] == 0.25
    results = json.loads(next((LM_EVAL / "toy__alpha").glob("results_*")).read_text())["results"]
    alpha = [s for (m, i), s in cells(study).items() if m == "toy/alpha" and i.startswith("pick")]
    assert sum(alpha) / 3 == pytest.approx(results["pick"]["acc,none"])


def test_another_version_of_a_task_is_refused(tmp_path):
    source = next((LM_EVAL / "toy__alpha").glob("samples_pick_*"))
    other = edited(source, tmp_path / "toy__gamma" / source.name, lambda n, r: r.update(doc_hash=f"other{n}"))
    message = refused(import_lm_eval, [source, other], ["acc"])
    assert message.startswith(f"{other}: line 1: item 'pick:0' is not the one of {source}")


def test_nan_and_null_are_no_scores(tmp_path):
    source = next((LM_EVAL / "toy__alpha").glob("samples_pick_*"))
    holes = {1: None, 2: float("nan")}
    path = edited(source, tmp_path / "m" / source.name, lambda n, r: r.update(acc=holes.get(n, 1.0)))
    study, report = import_lm_eval([path], ["acc"])
    assert cells(study) == {("m", "pick:2"): 1}
    assert report.not_administered == 2


def test_bad_lines_are_named(tmp_path):
    source = next((LM_EVAL / "toy__alpha").glob("samples_pick_*"))
    target = tmp_path / "m" / source.name
    path = edited(source, target, lambda n, r: r.update(acc=55) if n == 2 else None)
    assert f"{path}: line 2: acc of item 'pick:1': score is '55'" in refused(import_lm_eval, [path], ["acc"])
    path = edited(source, target, lambda _, r: r.update(doc_id=0))
    assert "item 'pick:0' is not the one of" in refused(import_lm_eval, [path], ["acc"])
    path = edited(source, target, lambda n, r: r.pop("doc_id") if n == 3 else None)
    assert f"{path}: line 3 has no 'doc_id'" in refused(import_lm_eval, [path], ["acc"])
    path.write_text(source.read_text()[:-20])
    assert f"{path}: line 3 is not JSON" in refused(import_lm_eval, [path], ["acc"])
    path.write_bytes(source.read_bytes() + b"\xff\n")
    assert f"{path}: line 4 is not UTF-8 text" in refused(import_lm_eval, [path], ["acc"])
    path.write_text(source.read_text() + source.read_text().replace('"doc_hash"', '"run": 2, "doc_hash"'))
    assert f"{path}: line 4 repeats item 'pick:0'" in refused(import_lm_eval, [path], ["acc"])
    path.write_text("[1]\n")
    assert f"{path}: line 1 is not a JSON object" in refused(import_lm_eval, [path], ["acc"])
    path.write_text("")
    assert "the file is empty" in refused(import_lm_eval, [path], ["acc"])
    assert "holds no samples of lm_eval" in refused(import_lm_eval, [INSPECT])


def test_older_lines_without_a_list_of_metrics_and_with_listed_arguments(tmp_path):
    def age(_, record):
        del record["metrics"], record["filter"]
        record["arguments"] = [[request["arg_0"], request["arg_1"]] for request in record["arguments"].values()]

    source = next((LM_EVAL / "toy__beta").glob("samples_pick_*"))
    path = edited(source, tmp_path / "toy__beta" / source.name, age)
    old, _ = import_lm_eval([path], ["acc"], model="toy/beta")
    new, _ = import_lm_eval([source], ["acc"])
    assert cells(old) == cells(new)
    assert old.items["n_options"].tolist() == new.items["n_options"].tolist()


# HELM


def test_helm_lists_are_merged_and_training_draws_are_trials():
    study, report = import_helm([HELM], ["exact_match"])
    assert report.rows == 6
    assert study.responses["n_trials"].tolist() == [2, 2, 2]
    assert study.responses["model"].unique().tolist() == ["simple/model1"]
    assert all(item.startswith("synthetic_reasoning:mode=pattern_match:id") for item in study.items["item_id"])
    assert study.items["text"].str.startswith("Rules:").all()
    message = refused(import_helm, [HELM])
    assert "exact_match, quasi_exact_match, prefix_exact_match, quasi_prefix_exact_match" in message


@pytest.fixture
def helm_run(tmp_path):
    """Return a copy of the run whose statistics a test may change."""
    folder = Path(shutil.copytree(next(HELM.iterdir()), tmp_path / "run"))

    def change(rewrite):
        path = folder / "per_instance_stats.json"
        path.write_text(json.dumps(rewrite(json.loads(path.read_text()))))
        return path

    return change


def with_exact_match(record, **values):
    stats = [stat | values if stat["name"]["name"] == "exact_match" else stat for stat in record["stats"]]
    return record | {"stats": stats}


def test_helm_one_list_for_each_metric_object(helm_run):
    def split(records):
        """Lay every record out as two: one with the exact match, one with the rest."""
        exact = [r | {"stats": [s for s in r["stats"] if s["name"]["name"] == "exact_match"]} for r in records]
        rest = [r | {"stats": [s for s in r["stats"] if s["name"]["name"] != "exact_match"]} for r in records]
        return rest + [with_exact_match(record, mean=1.0) for record in exact]

    study, report = import_helm([helm_run(split)], ["exact_match"])
    assert study.responses["score"].tolist() == [1, 1, 1]
    assert report.rows == 6
    assert report.not_administered == 0


def test_helm_unscored_contradicting_and_perturbed(helm_run):
    path = helm_run(lambda records: [with_exact_match(records[0], count=0), *records[1:]])
    study, report = import_helm([path], ["exact_match"])
    assert sorted(study.responses["n_trials"]) == [1, 2, 2]
    assert report.not_administered == 1
    path = helm_run(lambda records: [*records, with_exact_match(records[2], mean=1.0)])
    assert f"{path}: record 7: instance" in refused(import_helm, [path], ["exact_match"])
    twist = {"perturbation": {"name": "typos"}}
    path = helm_run(lambda records: [*records[:6], *[with_exact_match(r, mean=1.0) | twist for r in records[:6]]])
    study, _ = import_helm([path], ["exact_match"])
    by_prompt = study.responses.groupby("prompt", observed=True)["score"].mean()
    assert by_prompt.to_dict() == {"none": 0, "typos": 1}


def test_helm_needs_its_other_files(tmp_path):
    path = Path(shutil.copy(next(HELM.rglob("per_instance_stats.json")), tmp_path))
    assert f"{tmp_path / 'run_spec.json'}: no such file" in refused(import_helm, [path])


# Every Eval Ever


def test_every_eval_ever_agrees_with_the_logs_it_was_made_of():
    for answers, result in (("flexible-extract", "flexible-extract"), ("strict-match", "strict-match")):
        converted, report = import_every_eval_ever([EEE], ["acc", f"exact_match:{result}"])
        original, _ = import_lm_eval([LM_EVAL], ["acc", "exact_match"], [answers, "none"])
        assert cells(converted) == cells(original)
        assert set(converted.items["item_id"]) == set(original.items["item_id"])
    assert report.not_administered == 0


def test_every_eval_ever_scores_lie_on_the_scale_of_the_metric(tmp_path):
    samples = next((EEE / "pick" / "toy" / "alpha").glob("*_samples.jsonl"))
    path = edited(samples, tmp_path / samples.name, lambda n, r: r["evaluation"].update(score=float(n)))
    assert "line 3: acc of item 'pick:1': score is '3'" in refused(import_every_eval_ever, [path], ["acc", "acc_norm"])
    source = samples.with_name(samples.name.replace("_samples.jsonl", ".json"))
    aggregate = json.loads(source.read_text())
    beside = tmp_path / source.name
    aggregate["evaluation_results"][0]["metric_config"] |= {"min_score": 1, "max_score": 6, "lower_is_better": True}
    beside.write_text(json.dumps(aggregate))
    study, _ = import_every_eval_ever([path], ["acc"])
    assert list(cells(study).values()) == pytest.approx([1.0, 0.6, 0.2])
    aggregate["evaluation_results"][0]["metric_config"]["max_score"] = "Infinity"
    beside.write_text(json.dumps(aggregate))
    assert "line 1: acc of item 'pick:0': score is '1.0 (from 1 to inf)'" in refused(
        import_every_eval_ever, [path], ["acc"]
    )


def test_every_eval_ever_refuses_what_cannot_be_told_apart(tmp_path):
    samples = next((EEE / "pick" / "toy" / "alpha").glob("*_samples.jsonl"))
    path = edited(samples, tmp_path / "x_samples.jsonl", lambda _, r: r.pop("evaluation_result_id"))
    assert f"{path}: line 2 scores item 'pick:0' again" in refused(import_every_eval_ever, [path])
    path = edited(samples, tmp_path / "x_samples.jsonl", lambda _, r: r.update(schema_version="2.0.0"))
    assert "line 1: schema version '2.0.0' is not known here" in refused(import_every_eval_ever, [path])


def test_a_study_of_logs_keeps_where_it_came_from(tmp_path):
    study, _ = import_lm_eval([LM_EVAL], ["acc", "exact_match"], ["none", "strict-match"])
    back = Study.load(study.save(tmp_path / "study"))
    assert back.sources["format"] == "lm-eval"
    assert len(back.sources["files"]) == 4
    assert all(len(source["sha256"]) == 64 for source in back.sources["files"])
    assert cells(back) == cells(study)
