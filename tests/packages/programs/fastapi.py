from fastapi import FastAPI
from fastapi.testclient import TestClient

app = FastAPI()


@app.get("/sq/{n}")
def square(n: int) -> int:
    return n * n


client = TestClient(app)
print([client.get(f"/sq/{i}").json() for i in range(24)][-1], client.get("/sq/x").status_code)
