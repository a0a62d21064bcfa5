"""L125 a list changed by a __del__ while the collector runs within the list's own code

kind: crash
expect: nothing or crash
control: any
"""

class Node:
    def __del__(self):
        victim.clear()
for _ in range(300):
    victim = [[] for _ in range(50)]
    node = Node()
    node.me = node
    del node
    kept = []
    while victim:
        kept.append(victim[:])
        kept.append(victim * 2)
