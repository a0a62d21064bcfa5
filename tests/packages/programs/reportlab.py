from reportlab.pdfgen.canvas import Canvas

canvas = Canvas("c.pdf")
canvas.drawString(100, 700, "hello")
canvas.save()
print(open("c.pdf", "rb").read(8))
