import datetime

import orjson

print(orjson.dumps({"a": [1, 2.5, None], "d": datetime.date(2024, 1, 2)}, option=orjson.OPT_SORT_KEYS), orjson.loads(b"[1]"))
