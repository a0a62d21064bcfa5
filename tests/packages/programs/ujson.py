import simplejson
import ujson

print(ujson.dumps({"a": [1, 2]}), ujson.loads("[1.5]"), simplejson.dumps({"b": None}))
