"""Stands in for Jupyter's packages where they are not installed: what belljar/adapters/jupyter.py needs to be installed as a kernel."""
