import diskcache

with diskcache.Cache("cache") as cache:
    cache.set("a", [1, 2], expire=100)
    print(cache["a"], len(cache), cache.incr("n", default=4))
