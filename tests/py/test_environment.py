"""The variables of a guest: those of the table, and no others."""

import json
import os
import subprocess

import pytest

import belljar

core = pytest.mark.core
SEEN = "import json, os; print(json.dumps(dict(os.environ)))"
OWN = {"OWN_FAMILY": "x", "OMP_NUM_THREADS": "4"}


def explained(*options):
    done = subprocess.run(["belljar", "explain", "--json", *options], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)["environment"]


@core
@pytest.mark.parametrize("own", [{}, OWN], ids=["the table", "with the policy's own"])
def test_a_guest_has_what_explain_prints_and_nothing_else(own):
    rows = explained(*[f"--env={name}={value}" for name, value in own.items()])
    assert all(row["reason"] for row in rows) and len({row["name"] for row in rows}) == len(rows)
    seen = json.loads(belljar.run(SEEN, belljar.Policy(env=own)).stdout)
    assert seen.pop("MPLBACKEND") in ("Agg", "module://belljar_backend")
    assert seen == {row["name"]: row["value"] for row in rows if row["name"] != "MPLBACKEND"}
    assert {row["name"]: row["value"] for row in rows if row["reason"] == "the policy's own (env)"} == own


def test_nothing_of_the_callers_gets_in(monkeypatch):
    monkeypatch.setenv("OWN_FAMILY", "secret")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    seen = json.loads(belljar.run(SEEN).stdout)
    assert "OWN_FAMILY" not in seen and seen["OMP_NUM_THREADS"] == "1"


def certificates():
    places = [
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/ssl/ca-bundle.pem",
        "/etc/ssl/cert.pem",
    ]
    found = [place for place in places if os.path.exists(place)]
    if not found:
        pytest.skip("this machine has no file of certificates")
    return found[0]


@core
def test_the_hosts_certificates_are_named_where_they_are_granted():
    file = certificates()
    code = "import os, ssl; print(os.environ.get('SSL_CERT_FILE'), len(ssl.create_default_context().get_ca_certs()) > 0)"
    assert belljar.run(code).stdout == "None False\n"
    assert belljar.run(code, read=[os.path.dirname(os.path.realpath(file)), os.path.dirname(file)]).stdout == f"{file} True\n"
    assert belljar.run(code, read=[os.path.dirname(file)], env={"SSL_CERT_FILE": "/work/own"}).stdout == "/work/own False\n"
