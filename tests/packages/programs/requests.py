import requests

prepared = requests.Request("GET", "http://127.0.0.1:9/x", params={"a": 1}, headers={"X": "y"}).prepare()
print(prepared.url, prepared.headers)
session = requests.Session()
session.cookies.set("a", "b")
print(session.cookies.get_dict(), requests.codes.teapot)
