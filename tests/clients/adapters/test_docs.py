"""Every Python example of docs/adapters.md runs, and prints what stands beside it."""

import pathlib
import re

import pytest

TEXT = (pathlib.Path(__file__).parents[3] / "docs/adapters.md").read_text()
EXAMPLES = [(code.split("belljar.adapters.")[1].split()[0], code) for code in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)]


@pytest.mark.parametrize(("name", "code"), EXAMPLES, ids=[f"{number}-{name}" for number, (name, _) in enumerate(EXAMPLES)])
def test_an_example_prints_what_it_says(name, code, capsys, tmp_path):
    pytest.importorskip(f"belljar.adapters.{name}", exc_type=ImportError)
    if name == "smolagents":  # a model that is there
        scripted = pytest.importorskip("test_smolagents").Scripted
        code = code.replace(", InferenceClientModel", "").replace(
            "InferenceClientModel()", "Scripted('final_answer(price(\"tea\") * 2)')"
        )
        expected = ["7.0"]
    else:
        scripted = None
        expected = re.findall(r"print\(.*\) +# (.*)", code)
    code = code.replace(', preload=["pandas"]', "").replace("import pandas; pandas.Series([1, 2, 3]).mean()", "sum([1, 2, 3]) / 3")
    namespace = {"__name__": "__main__", "Scripted": scripted}
    (tmp_path / "example.py").write_text(code)  # some look for the source of functions
    exec(compile(code, str(tmp_path / "example.py"), "exec"), namespace)
    printed = capsys.readouterr().out.splitlines()
    assert expected and printed[-len(expected) :] == expected
