import lightgbm as lgb
import numpy as np

rng = np.random.default_rng(0)
X = rng.random((200, 4))
y = (X[:, 0] > 0.5).astype(int)
model = lgb.LGBMClassifier(n_estimators=10, verbose=-1, n_jobs=1).fit(X, y)
print(model.booster_.num_trees(), (model.booster_.predict(X) > 0.5).astype(int).tolist() == y.tolist())
