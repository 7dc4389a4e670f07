"""Output directories with changed files: refused in one line; no file of the run is replaced."""

import json

import pytest

from boxrefine_d2.errors import UserError
from boxrefine_d2.report import read_run
from boxrefine_d2.report.curves import chart
from boxrefine_d2.report.run_folder import read_metrics
from boxrefine_d2.report.training_charts import training_charts
from tests.tool_modules import tool

HITS = {name: [1, 0, 1, 0] for name in ("lost", "h", "refined")}


@pytest.fixture
def main():
    return tool("report").main


@pytest.fixture
def folder(made_up_run):
    return made_up_run("r", 0, "MODEL.META_ARCHITECTURE", "BoxRefiner", **HITS)


def test_a_page_never_replaces_a_file_of_the_run(main, folder, capsys):
    (folder / "model_final.pth").write_bytes(b"weights")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for path in before:
        assert main([str(folder), "--output", str(path)]) == 2
        assert "is an input of this command" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("key", ["version", "weights", "datasets", "record"])
@pytest.mark.parametrize("value", [None, [1]])
def test_incomplete_results_are_refused(main, folder, capsys, key, value):
    results = json.loads((folder / "results.json").read_text()) | {key: value}
    (folder / "results.json").write_text(json.dumps(results))
    assert main([str(folder)]) == 2
    message = capsys.readouterr().err
    assert f"lacks '{key}'" in message and message.count("\n") == 1


@pytest.mark.parametrize(
    "text",
    ["[]", "{}", '{"lost": 1}', '{"lost": [1]}', '{"lost": [[1, 1, 1]]}', '{"lost": []}', "7"],
)
def test_files_without_hits_are_refused(folder, text):
    (folder / "inference/scenes_val+first=4/corloc_per_image.json").write_text(text)
    with pytest.raises(UserError, match="corloc_per_image.json"):
        read_run(folder)


def test_invalid_lines_of_metrics_are_skipped(folder):
    rows = ["7", "[]", "null", '{"iteration": "a"}', "{", '{"total_loss": 1}']
    rows += ['{"iteration": 3, "total_loss": 0.5}', '{"iteration": 2, "total_loss": "<b>"}']
    rows += ['{"iteration": 4, "total_loss": NaN}', '{"iteration": 5, "total_loss": 1e999}']
    (folder / "metrics.json").write_text("\n".join(rows))
    assert [row["iteration"] for row in read_metrics(folder)] == [2, 3, 4, 5]
    charts = training_charts([read_run(folder)])
    assert charts.count("<circle") == 1 and "nan" not in charts and "inf" not in charts


@pytest.mark.parametrize(
    "values", [[1e308, -1e308], [5e-324, 0.0], [-1e200], [1e38, 1e38], [-1e17], [3, 3]]
)
def test_a_chart_of_any_numbers(values):
    charts = chart("loss", {0: list(enumerate(values))}, [], 2)
    assert "nan" not in charts and "inf" not in charts
