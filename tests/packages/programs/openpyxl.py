from openpyxl import Workbook, load_workbook

book = Workbook()
sheet = book.active
sheet.append(["a", 1])
sheet["C1"] = "=B1*2"
book.save("b.xlsx")
print([[cell.value for cell in row] for row in load_workbook("b.xlsx").active])
