"""Errors: own classes, notes, groups, finally, logging."""
import logging
import sys

logging.basicConfig(stream=sys.stdout, format="%(levelname)s %(name)s %(message)s", level=logging.INFO)
log = logging.getLogger("shop")


class ShopError(Exception):
    def __init__(self, code, text):
        super().__init__(text)
        self.code = code


def buy(amount):
    if amount < 0:
        error = ShopError(4, "negative")
        error.add_note("ask for more")
        raise error
    if amount > 10:
        raise ExceptionGroup("several", [ValueError("big"), ShopError(5, "too much"), TypeError("odd")])
    return amount


for amount in (1, -1, 11):
    try:
        log.info("bought %d", buy(amount))
    except* ShopError as group:
        for error in group.exceptions:
            log.warning("%s %s %s", error.code, error, getattr(error, "__notes__", []))
    except* (ValueError, TypeError) as group:
        print(len(group.exceptions), group.message)
    finally:
        print("done", amount)
try:
    try:
        {}["key"]
    except KeyError as error:
        raise RuntimeError("wrapped") from error
except RuntimeError as error:
    log.error("%s", error)
