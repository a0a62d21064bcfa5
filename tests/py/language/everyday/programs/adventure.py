"""A text adventure, played from a list of commands."""
import sys
import textwrap

ROOMS = {"hall": {"north": "cave", "text": "You stand in a large hall with a stone floor. A lamp lies here."}, "cave": {"south": "hall", "text": "It is dark."}}


class Game:
    def __init__(self):
        self.room, self.items, self.is_over = "hall", set(), False

    def do_go(self, where):
        target = ROOMS[self.room].get(where)
        if target is None:
            return "You cannot go there."
        self.room = target
        return self.look()

    def do_take(self, what):
        self.items.add(what)
        return f"Taken: {what}."

    def do_quit(self, *_):
        self.is_over = True
        return "Bye."

    def look(self):
        return textwrap.fill(ROOMS[self.room]["text"], 30)

    def play(self, line):
        verb, *rest = line.split()
        action = getattr(self, f"do_{verb}", None)
        return action(*rest) if action else f"I do not know {verb!r}."


game = Game()
sys.stdout.write(game.look() + "\n")
for line in ("take lamp", "go north", "go up", "dance", "quit"):
    print(">", line)
    print(game.play(line))
    if game.is_over:
        break
