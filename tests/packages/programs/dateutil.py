from datetime import datetime

from dateutil import parser, relativedelta, rrule, tz

print(parser.parse("Jan 5 2024 3pm"), datetime(2024, 1, 31) + relativedelta.relativedelta(months=1))
print(list(rrule.rrule(rrule.WEEKLY, count=2, dtstart=datetime(2024, 1, 1))), tz.gettz("Europe/Berlin") is not None)
