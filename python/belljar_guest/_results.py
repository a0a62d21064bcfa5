"""Rich results: what a value can be shown as.

The forms and their names follow IPython's display protocol (_repr_html_ and the like, _repr_mimebundle_), which is what
libraries offer; the host makes E2B's Result of them. All of this runs in the guest: what it says is data there."""

from __future__ import annotations

import builtins
import io
import os
import sys
from typing import TYPE_CHECKING

from belljar_guest import _host, _outcome, _state

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from typing import Any

    from belljar_guest._state import Forms

RICH_METHODS = (
    ("_repr_html_", "text/html"),
    ("_repr_markdown_", "text/markdown"),
    ("_repr_svg_", "image/svg+xml"),
    ("_repr_png_", "image/png"),
    ("_repr_jpeg_", "image/jpeg"),
    ("_repr_pdf_", "application/pdf"),
    ("_repr_latex_", "text/latex"),
    ("_repr_json_", "application/json"),
    ("_repr_javascript_", "application/javascript"),
)
MAIN_MARK = b"application/vnd.belljar.main", b""  # comes before the forms of the last expression's value
DATA = "application/vnd.belljar.data+json"  # a table's columns
FORM_MAX = 16 << 20
PLAIN = (int, str, float, bool, bytes, list, tuple, dict, set)  # are text and nothing else
GROUPS_MAX = 256


def form_bytes(mime: str, data: Any) -> bytes | None:
    """One form as bytes, or None if it is none, or too large to show."""
    if isinstance(data, tuple) and data:  # (data, metadata), as the protocol allows
        data = data[0]
    if data is None:
        return None
    if mime.endswith("json") and not isinstance(data, (bytes, str)):
        import json

        data = json.dumps(data, default=str)
    if isinstance(data, str):
        data = data.encode("utf-8", "replace")
    return bytes(data) if isinstance(data, (bytes, bytearray)) and len(data) <= FORM_MAX else None


def rich_forms(value: Any) -> Forms:
    """What it can be shown as beside text: a list of (mime type, bytes). Never raises for a form that fails."""
    if isinstance(value, type) or type(value) in PLAIN:
        return []
    found: dict[str, Any] = {}
    try:
        bundle = getattr(value, "_repr_mimebundle_", None)
        if callable(bundle):
            bundle = bundle(include=None, exclude=None)
            found.update(bundle[0] if isinstance(bundle, tuple) else bundle or {})
    except Exception:
        pass
    for name, mime in RICH_METHODS:
        try:
            method = getattr(value, name, None)
            if mime not in found and callable(method):
                found[mime] = method()
        except Exception:
            pass
    try:
        figure: Any = sys.modules.get("matplotlib.figure")
        if figure is not None and isinstance(value, figure.Figure) and "image/png" not in found:
            found["image/png"] = figure_png(value)
        pandas: Any = sys.modules.get("pandas")
        if pandas is not None and isinstance(value, pandas.DataFrame) and value.size <= 100_000:
            found[DATA] = {str(name): column.tolist() for name, column in value.items()}
    except Exception:
        pass
    forms = []
    for mime, data in found.items():
        try:
            data = form_bytes(mime, data) if mime != "text/plain" else None
        except Exception:
            data = None
        if data is not None:
            forms.append((mime.encode("utf-8", "replace")[:256], data))
    return forms


def add_display(forms: Forms) -> None:
    if forms and _state.shows_at_once and _state.is_running:
        _host.show_at_once(forms)
    elif forms and len(_state.displays) < GROUPS_MAX:
        _state.displays.append(forms)


def display(*values: object, **ignored: object) -> None:
    """Shows values to whoever runs this: text, and whatever richer forms they have."""
    for value in values:
        add_display([(b"text/plain", _outcome.value_text(value)), *rich_forms(value)])


def figure_png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", bbox_inches="tight")
    return buffer.getvalue()


def show_figures(*args: object, **kwargs: object) -> None:
    """plt.show(): the open figures become results."""
    pyplot: Any = sys.modules.get("matplotlib.pyplot")
    if pyplot is None:
        return
    for number in pyplot.get_fignums():
        try:
            add_display([(b"text/plain", b"<Figure %d>" % number), (b"image/png", figure_png(pyplot.figure(number)))])
        except Exception as error:
            add_display([(b"text/plain", _outcome.to_bytes("<Figure %d, which cannot be drawn: %r>" % (number, error)))])
    pyplot.close("all")


BACKEND = "belljar_backend"


class BackendFinder:
    """Makes matplotlib's backend when matplotlib asks for it: Agg, whose show() shows to the host."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if name != BACKEND:
            return None
        from importlib.machinery import ModuleSpec

        return ModuleSpec(name, BackendFinder)  # type: ignore[arg-type]

    @staticmethod
    def create_module(spec: object) -> None:
        pass

    @staticmethod
    def exec_module(module: Any) -> None:
        from matplotlib.backends import backend_agg  # type: ignore[import]

        module.FigureCanvas = backend_agg.FigureCanvasAgg
        module.FigureManager = backend_agg.FigureManagerBase
        module.show = show_figures


def offer_results() -> None:
    """Before a run whose results are wanted: display(), and figures as results. Once."""
    if getattr(builtins, "display", None) is display:
        return
    builtins.display = display  # type: ignore[attr-defined]
    sys.meta_path.append(BackendFinder)
    if os.environ.get("MPLBACKEND") == "Agg":  # the table's, and not the policy's own
        os.environ["MPLBACKEND"] = "module://" + BACKEND
    modules: dict[str, Any] = sys.modules
    if "matplotlib.pyplot" in modules:  # preloaded
        modules["matplotlib.pyplot"].switch_backend("module://" + BACKEND)
    elif "matplotlib" in modules:
        modules["matplotlib"].rcParams["backend"] = "module://" + BACKEND


def collect_results(value: object) -> None:
    """After such a run: open figures, then the last value with all its forms."""
    show_figures()
    if value is not None:
        _state.displays.append([MAIN_MARK, (b"text/plain", _outcome.value_text(value)), *rich_forms(value)])
