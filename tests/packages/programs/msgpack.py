import msgpack

print(msgpack.packb({"a": [1, 2.5, None]}).hex(), msgpack.unpackb(msgpack.packb({"a": b"x"})))
