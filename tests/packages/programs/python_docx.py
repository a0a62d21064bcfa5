from docx import Document

document = Document()
document.add_heading("Title")
document.add_paragraph("text")
document.save("d.docx")
print([paragraph.text for paragraph in Document("d.docx").paragraphs])
