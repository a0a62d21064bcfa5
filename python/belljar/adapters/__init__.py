"""Adapters: belljar where other packages ask for a sandbox. Each module needs its package, which belljar does not.

| module | for |
|---|---|
| `belljar.adapters.smolagents` | `SandboxPythonExecutor`, the `executor=` of a `CodeAgent` |
| `belljar.adapters.langchain` | `python_tool`, a tool for LangChain and LangGraph |
| `belljar.adapters.jupyter` | a notebook kernel: `belljar kernel install` |
| `belljar.adapters.joblib` | `register`, the backend `"belljar"` of joblib |
| `belljar.adapters.llamaindex` | `code_function`, the `code_execute_fn=` of a `CodeActAgent` |
| `belljar.adapters.fastmcp` | `BelljarSandboxProvider`, the `sandbox_provider=` of FastMCP's code mode |
| `belljar.adapters.dask` | `get`, a scheduler of Dask; `WorkerExecutor` for `distributed` |

docs/adapters.md has an example of each.
"""
