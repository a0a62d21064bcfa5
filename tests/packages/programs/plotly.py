import plotly.graph_objects as go

figure = go.Figure(go.Bar(x=["a", "b"], y=[1, 2]))
figure.update_layout(title="t")
print(figure.to_json()[:80])
figure.write_html("f.html")
print(len(open("f.html").read()) > 1000)
