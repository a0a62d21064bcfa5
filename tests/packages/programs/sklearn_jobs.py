from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score

X, y = make_classification(200, 8, random_state=0)
print(cross_val_score(LogisticRegression(), X, y, cv=3, n_jobs=2).round(4))
print(RandomForestClassifier(20, random_state=0, n_jobs=2).fit(X, y).score(X, y))
print(GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, cv=3, n_jobs=-1).fit(X, y).best_params_)
