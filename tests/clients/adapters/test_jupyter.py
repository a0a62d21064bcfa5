"""`belljar.adapters.jupyter` against jupyter_kernel_test, nbclient and jupyter_client."""

import json
import os
import queue
import subprocess
import sys

import pytest

pytest.importorskip("ipykernel")
kernel_test = pytest.importorskip("jupyter_kernel_test")
nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")
manager = pytest.importorskip("jupyter_client.manager")

FIGURE = "class P:\n  def _repr_png_(self): return b'\\x89PNG\\r\\n\\x1a\\n' + bytes(20)\n"


@pytest.fixture(scope="module", autouse=True)
def installed(tmp_path_factory):
    """Three kernels, installed by the command in a folder of their own."""
    place = tmp_path_factory.mktemp("jupyter")
    policy = place / "policy.json"
    policy.write_text(json.dumps({"memory": "300M"}))
    before = dict(os.environ)
    os.environ.update(
        JUPYTER_DATA_DIR=str(place / "data"), JUPYTER_RUNTIME_DIR=str(place / "run"), IPYTHONDIR=str(place / "ipython")
    )
    by_module = [sys.executable, "-m", "belljar.adapters.jupyter", "install"]
    by_command = [sys.executable, "-m", "belljar", "kernel", "install"]
    for words in (by_command, [*by_module, "--name", "small", "--policy", str(policy)], [*by_command, "--name", "rich", "--rich"]):
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    yield
    os.environ.clear()
    os.environ.update(before)


class TestKernel(kernel_test.KernelTests):
    """Jupyter's own tests of kernels."""

    kernel_name = "belljar"
    language_name = "python"
    file_extension = ".py"
    code_hello_world = "print('hello, world')"
    code_stderr = "import sys; print('test', file=sys.stderr)"
    completion_samples = [
        {"text": "zi", "matches": {"zip"}},
        {"text": "import json; json.loa"},
        {"text": "import itert", "matches": {"itertools"}},
    ]
    complete_code_samples = ["1", "print('hello, world')", "def f(x):\n  return x*2\n\n\n", "await x", "%time 1"]
    incomplete_code_samples = ["print('''hello", "def f(x):\n  x*2", "for i in 1, 2:"]
    invalid_code_samples = ["import = 7q", "1 +* 2"]
    code_generate_error = "raise ValueError('no')"
    code_execute_result = [{"code": "6*7", "result": "42"}, {"code": "'a' 'b'", "result": "'ab'"}]
    code_display_data = [{"code": FIGURE + "display(P())", "mime": "image/png"}]
    code_inspect_sample = "zip"


@pytest.fixture(scope="module")
def client():
    km, kc = manager.start_new_kernel(kernel_name="belljar")
    yield kc
    kc.stop_channels()
    km.shutdown_kernel(now=True)


def run(kc, code, messages=None, **options):
    """What a cell sends: the reply's content, and the messages."""
    seen = [] if messages is None else messages

    def hook(message):
        if message["msg_type"] != "status":
            seen.append((message["msg_type"], message["content"]))

    reply = kc.execute_interactive(code, output_hook=hook, timeout=60, allow_stdin="stdin_hook" in options, **options)
    return reply["content"], seen


def stream(messages, name="stdout"):
    return "".join(content["text"] for kind, content in messages if kind == "stream" and content["name"] == name)


def ask(kc, send, *arguments):
    """The reply to a question about code."""
    number = send(*arguments)
    while True:
        reply = kc.get_shell_msg(timeout=30)
        if reply["parent_header"].get("msg_id") == number:
            return reply["content"]


def test_a_notebook_runs_and_keeps_state():
    book = nbformat.v4.new_notebook()
    book.cells = [nbformat.v4.new_code_cell(text) for text in ("x = 20", "print('hi')\nx * 2 + 2", "import os; os.getcwd()")]
    nbclient.NotebookClient(book, kernel_name="belljar", timeout=60).execute()
    assert [output.output_type for output in book.cells[1].outputs] == ["stream", "execute_result"]
    assert book.cells[1].outputs[1].data["text/plain"] == "42" and book.cells[1].execution_count == 2
    assert book.cells[2].outputs[0].data["text/plain"] == "'/work'"


def test_files_beside_a_notebook_are_no_modules_of_the_kernels(tmp_path):
    """Jupyter starts a kernel in the notebook's folder; this process is the host's."""
    for name in ("json", "belljar", "ipykernel", "platform", "comm", "matplotlib", "IPython"):
        (tmp_path / f"{name}.py").write_text(
            f"open({str(tmp_path / 'imported')!r}, 'a').write({name!r})\nraise SystemExit('hostile')"
        )
    book = nbformat.v4.new_notebook()
    book.cells = [nbformat.v4.new_code_cell("import json\njson.dumps(6 * 7)"), nbformat.v4.new_code_cell("1 / 0")]
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(book, kernel_name="belljar", timeout=60, allow_errors=True, resources=resources).execute()
    assert book.cells[0].outputs[0].data["text/plain"] == "'42'" and not (tmp_path / "imported").exists()


def test_an_error_stops_a_notebook_with_its_traceback():
    book = nbformat.v4.new_notebook()
    book.cells = [nbformat.v4.new_code_cell("open('/etc/shadow')")]
    with pytest.raises(nbclient.exceptions.CellExecutionError, match="remedy"):
        nbclient.NotebookClient(book, kernel_name="belljar", timeout=60).execute()
    assert book.cells[0].outputs[0].ename == "PermissionError"


def test_a_cell_that_takes_too_long_is_interrupted_by_nbclient_and_the_session_stays():
    book = nbformat.v4.new_notebook()
    book.cells = [nbformat.v4.new_code_cell(text) for text in ("x = 1\nwhile True: pass", "x + 1")]
    nbclient.NotebookClient(book, kernel_name="belljar", timeout=5, interrupt_on_timeout=True, allow_errors=True).execute()
    assert book.cells[0].outputs[0].ename == "KeyboardInterrupt"
    assert book.cells[1].outputs[0].data["text/plain"] == "2"


def test_output_comes_while_the_cell_runs(client):
    """The cell waits for an answer that it gets when its output was seen."""
    seen = []

    def answer(message):  # its output may have come before the question, or comes now
        while not any(kind == "stream" for kind, _ in seen):
            message = client.get_iopub_msg(timeout=30)
            seen.append((message["msg_type"], message["content"]))
        client.input("blue")

    reply, messages = run(client, "print('first', flush=True)\ncolour = input('colour? ')\ncolour", seen, stdin_hook=answer)
    assert reply["status"] == "ok" and ("execute_result", "'blue'") in [
        (kind, content.get("data", {}).get("text/plain")) for kind, content in messages
    ]


def test_input_without_somebody_to_ask_is_eof(client):
    reply, _ = run(client, "input('? ')")
    assert reply["ename"] == "EOFError"


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("some_na", "some_name"),
        ("some_name.bit_len", "some_name.bit_length"),
        ("x = 1\nprint(some_na", "some_name"),
        ("from itert", "itertools"),
    ],
)
def test_completion_knows_the_session(client, text, match):
    run(client, "some_name = 5")
    content = ask(client, client.complete, text, len(text))
    assert match in content["matches"]
    assert match.startswith(text[content["cursor_start"] : content["cursor_end"]]) and content["cursor_end"] == len(text)


@pytest.mark.parametrize(
    ("text", "cursor", "words"),
    [("area(", 5, "Signature: area(radius"), ("area", 2, "The area of a circle"), ("nobody", 3, None)],
)
def test_inspection_knows_the_session(client, text, cursor, words):
    run(client, "def area(radius, pi=3.14):\n    'The area of a circle.'\n    return pi * radius ** 2")
    content = ask(client, client.inspect, text, cursor)
    assert content["found"] == (words is not None)
    assert words is None or words in content["data"]["text/plain"]


def test_a_session_that_has_ended_begins_again_and_says_so(client):
    reply, _ = run(client, "y = 1\nimport os; os._exit(3)")
    assert reply["status"] == "error"
    reply, messages = run(client, "'y' in globals()")
    assert "A new one was begun" in stream(messages, "stderr")
    assert [content["data"]["text/plain"] for kind, content in messages if kind == "execute_result"] == ["False"]


TABLE = "<table onclick=x()><tr><td><img src=x onerror=x()>5 &lt; 6<script>x()</script></td></table>"
HTML = f"class H:\n  def _repr_html_(self): return {TABLE!r}\nH()"


def test_a_browser_gets_nothing_to_run(client):
    _, messages = run(client, HTML)
    assert [content["data"]["text/html"] for kind, content in messages if kind == "execute_result"] == [
        "<table><tr><td>5 &lt; 6</td></tr></table>"
    ]
    _, messages = run(client, "class J:\n  def _repr_javascript_(self): return 'x()'\nJ()")
    assert [sorted(content["data"]) for kind, content in messages if kind == "execute_result"] == [["text/plain"]]


def test_installed_with_rich_it_does_and_with_a_policy_that_holds():
    for name, code, kind, text in [
        ("rich", HTML, "execute_result", "onerror"),
        ("small", "x = bytes(400_000_000)", "error", "MemoryError"),
    ]:
        km, kc = manager.start_new_kernel(kernel_name=name)
        try:
            assert text in json.dumps([content for sort, content in run(kc, code)[1] if sort == kind])
        finally:
            kc.stop_channels()
            km.shutdown_kernel(now=True)
