"""Dates, calendars, time zones."""
import calendar
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

start = datetime(2024, 3, 30, 12, tzinfo=ZoneInfo("Europe/Paris"))
for days in range(3):
    moment = start + timedelta(days=days)
    print(moment.isoformat(), moment.utcoffset(), moment.astimezone(ZoneInfo("UTC")).strftime("%H:%M"))
print([day for day in calendar.Calendar().itermonthdates(2024, 2) if day.month == 2 and day.weekday() == 4])
print((date(2024, 12, 24) - date(2024, 2, 29)).days, calendar.monthrange(2023, 2), date(2024, 1, 31).isocalendar().week)
print(sorted({date(2024, 5, d): d for d in (9, 1, 5)}.items())[0], f"{date(2024, 5, 9):%A %d %B}")
