from shapely import Point, Polygon, unary_union

print(round(Point(0, 0).buffer(1).area, 6), Polygon([(0, 0), (2, 0), (2, 2)]).contains(Point(1.5, 1)))
print(unary_union([Point(0, 0).buffer(1), Point(1, 0).buffer(1)]).geom_type)
