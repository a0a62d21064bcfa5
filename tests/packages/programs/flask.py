from flask import Flask, jsonify, request

app = Flask(__name__)


@app.route("/add")
def add():
    return jsonify(sum=int(request.args["a"]) + int(request.args["b"]))


print([app.test_client().get(f"/add?a={i}&b=3").json for i in range(20)][-1])
