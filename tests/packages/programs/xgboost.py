import numpy as np
import xgboost as xgb

rng = np.random.default_rng(0)
X = rng.random((200, 4))
y = (X[:, 0] > 0.5).astype(int)
booster = xgb.train({"objective": "binary:logistic", "nthread": 1}, xgb.DMatrix(X, y), 10)
print(booster.num_boosted_rounds(), ((booster.predict(xgb.DMatrix(X)) > 0.5) == y).mean())
