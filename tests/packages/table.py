"""The packages that are tried, one row for each program of programs/."""

from __future__ import annotations

import typing


class Row(typing.NamedTuple):
    program: str  # of programs/
    needs: str  # what the index calls the distributions
    preload: str  # modules
    is_main: bool = False  # tried on the newer interpreters as well
    note: str = ""  # the reason of a difference that stays, for docs/packages.md


SHORT = ("numpy", "pandas", "joblib", "pydantic", "polars", "numba", "psutil", "cffi")  # what CI tries
NOT_TRIED = {
    "torch": "no small wheel: that of the index takes 539 MB, and is not imported without libraries for GPUs that take more"
}
FIRST = "3.11"  # the interpreter on which all are tried


def is_wanted(row: Row, version: str, is_short: bool) -> bool:
    return row.program in SHORT if is_short else row.is_main or version == FIRST


ROWS = [
    Row("numpy", "numpy", "numpy", True),
    Row("pandas", "pandas", "pandas", True),
    Row("pandas_formats", "pandas pyarrow openpyxl", "pandas"),
    Row("scipy", "scipy", "scipy.integrate scipy.optimize scipy.signal scipy.sparse scipy.stats", True),
    Row("sklearn", "scikit-learn", "sklearn.ensemble sklearn.linear_model sklearn.model_selection sklearn.datasets", True),
    Row(
        "sklearn_jobs",
        "scikit-learn",
        "sklearn.ensemble sklearn.linear_model sklearn.model_selection",
        True,
        note="by joblib: threads, and with n_jobs=-1 one, as a guest has one CPU",
    ),
    Row("joblib", "joblib", "joblib", True, note="threads in the place of processes; a warning says so once"),
    Row("matplotlib", "matplotlib", "matplotlib.pyplot matplotlib.animation", True),
    Row("seaborn", "seaborn", "seaborn", True),
    Row("plotly", "plotly", "plotly.graph_objects"),
    Row("pillow", "Pillow", "PIL.Image PIL.ImageDraw", True),
    Row("opencv", "opencv-python-headless numpy", "cv2"),
    Row("sympy", "sympy", "sympy", True),
    Row("networkx", "networkx numpy scipy", "networkx", True),
    Row("lxml", "lxml", "lxml.etree lxml.html", True),
    Row("beautifulsoup4", "beautifulsoup4 lxml", "bs4"),
    Row("requests", "requests", "requests", True),
    Row("httpx", "httpx", "httpx"),
    Row("sqlalchemy", "sqlalchemy", "sqlalchemy sqlalchemy.orm", True),
    Row("jinja2", "jinja2", "jinja2"),
    Row("pydantic", "pydantic", "pydantic", True),
    Row("regex", "regex", "regex"),
    Row("cryptography", "cryptography", "cryptography.fernet cryptography.hazmat.primitives.asymmetric.rsa", True),
    Row("orjson", "orjson", "orjson"),
    Row("msgpack", "msgpack", "msgpack"),
    Row("openpyxl", "openpyxl", "openpyxl", True),
    Row("xlsxwriter", "xlsxwriter", "xlsxwriter"),
    Row("python_docx", "python-docx", "docx"),
    Row("reportlab", "reportlab", "reportlab.pdfgen.canvas"),
    Row("pypdf", "pypdf", "pypdf"),
    Row("pyyaml", "PyYAML", "yaml"),
    Row("nltk", "nltk", "nltk"),
    Row("spacy", "spacy", "spacy"),
    Row("shapely", "shapely", "shapely"),
    Row("duckdb", "duckdb", "duckdb"),
    Row("h5py", "h5py", "h5py"),
    Row("tqdm", "tqdm", "tqdm"),
    Row("click", "click", "click"),
    Row("attrs", "attrs", "attrs"),
    Row("hypothesis", "hypothesis", "hypothesis"),
    Row("faker", "faker", "faker"),
    Row("dateutil", "python-dateutil", "dateutil.parser dateutil.rrule dateutil.tz"),
    Row("pytz", "pytz tzdata", "pytz"),
    Row("boto3", "boto3", "boto3"),
    Row("flask", "flask", "flask"),
    Row("fastapi", "fastapi httpx", "fastapi fastapi.testclient"),
    Row("aiohttp", "aiohttp", "aiohttp aiohttp.web"),
    Row("gmpy2", "gmpy2", "gmpy2"),
    Row("mpmath", "mpmath", "mpmath"),
    Row("ortools", "ortools", "ortools.sat.python.cp_model ortools.linear_solver.pywraplp"),
    Row("chess", "chess", "chess"),
    Row("pygments", "pygments", "pygments"),
    Row("markdown", "markdown", "markdown"),
    Row("tabulate", "tabulate", "tabulate"),
    Row("ujson", "ujson simplejson", "ujson simplejson"),
    Row("protobuf", "protobuf", "google.protobuf.struct_pb2"),
    Row("grpcio", "grpcio", "grpc"),
    Row("ipython", "ipython", "IPython"),
    Row("diskcache", "diskcache", "diskcache"),
    Row("filelock", "filelock", "filelock"),
    Row("pytest", "pytest", "pytest", True),
    Row("rich", "rich", "rich.console rich.table"),
    Row("pyarrow", "pyarrow", "pyarrow pyarrow.csv pyarrow.parquet", True),
    Row(
        "polars",
        "polars",
        "polars",
        True,
        note="its import starts the thread polars-ooc-cleaner, which nothing switches off: imported in each guest",
    ),
    Row("statsmodels", "statsmodels", "statsmodels.api statsmodels.formula.api", True, note="imports polars where it is installed"),
    Row("numba", "numba", "numba", True),
    Row("lightgbm", "lightgbm", "lightgbm", True, note="imports pandas and pyarrow where they are installed"),
    Row("xgboost", "xgboost", "xgboost", True),
    Row(
        "psutil",
        "psutil",
        "psutil",
        True,
        note="the guest alone: pids() is [1], open_files(), threads() and connections are not there, CPU times are 0",
    ),
    Row("cffi", "cffi", "cffi"),
    Row("jax", "jax", "jax jax.numpy"),
    Row("pulp", "pulp", "pulp", note="models; its bundled solver is another program, which is refused"),
]
