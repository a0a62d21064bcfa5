import zipfile

import xlsxwriter

with xlsxwriter.Workbook("b.xlsx") as book:
    sheet = book.add_worksheet()
    sheet.write(0, 0, "a")
    chart = book.add_chart({"type": "line"})
    chart.add_series({"values": "=Sheet1!$A$1:$A$3"})
    sheet.insert_chart("D2", chart)
print(sorted(zipfile.ZipFile("b.xlsx").namelist())[:3])
