from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

X, y = make_classification(200, 8, random_state=0)
print(cross_val_score(make_pipeline(StandardScaler(), LogisticRegression()), X, y, cv=3).round(4))
print(RandomForestClassifier(20, random_state=0).fit(X, y).score(X, y))
