from jinja2 import DictLoader, Environment

env = Environment(loader=DictLoader({"b": "<{% block x %}{% endblock %}>", "a": "{% extends 'b' %}{% block x %}{% for i in r %}{{ i }},{% endfor %}{% endblock %}"}))
print(env.get_template("a").render(r=range(4)))
