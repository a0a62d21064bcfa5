import yaml

print(yaml.safe_load("a: [1, 2]\nb: {c: d}"), yaml.dump({"x": [1, None]}), yaml.__with_libyaml__)
