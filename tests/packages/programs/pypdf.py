from pypdf import PdfReader, PdfWriter

writer = PdfWriter()
writer.add_blank_page(100, 200)
writer.write("p.pdf")
print(len(PdfReader("p.pdf").pages), PdfReader("p.pdf").pages[0].mediabox)
