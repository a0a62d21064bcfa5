from lxml import etree, html

root = etree.fromstring("<a><b n='1'>x</b><b n='2'>y</b></a>")
sheet = etree.XSLT(etree.XML("""<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">
<xsl:template match="/"><o><xsl:value-of select="count(//b)"/></o></xsl:template></xsl:stylesheet>"""))
print(root.xpath("//b[@n='2']/text()"), str(sheet(root)).strip(), html.fromstring("<p>hi<br>there").text_content())
