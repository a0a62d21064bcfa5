import os

from PIL import Image, ImageDraw, ImageFilter

image = Image.new("RGB", (64, 64), "white")
ImageDraw.Draw(image).ellipse((8, 8, 56, 56), fill="red")
image.filter(ImageFilter.BLUR)
for kind in ("png", "jpeg", "gif", "bmp", "webp", "tiff"):
    image.save("i." + kind)
    with Image.open("i." + kind) as again:
        print(kind, again.size, again.convert("RGB").getpixel((32, 32))[0] > 200)
