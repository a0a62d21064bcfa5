import networkx as nx

g = nx.karate_club_graph()
print(nx.shortest_path(g, 0, 33), round(nx.average_clustering(g), 6))
print(sorted(nx.pagerank(g).items(), key=lambda item: -item[1])[0][0], nx.is_connected(g))
