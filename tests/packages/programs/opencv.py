import cv2
import numpy as np

image = np.zeros((64, 64, 3), np.uint8)
cv2.circle(image, (32, 32), 16, (0, 0, 255), -1)
cv2.imwrite("i.png", image)
edges = cv2.Canny(cv2.imread("i.png"), 100, 200)
contours, _ = cv2.findContours(edges, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
print(edges.sum() > 0, len(contours), cv2.resize(image, (16, 16)).shape)
