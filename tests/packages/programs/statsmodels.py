import numpy as np
import statsmodels.api as sm
import statsmodels.formula.api as smf

rng = np.random.default_rng(0)
x = rng.normal(size=100)
data = {"x": x, "y": 2 * x + 1 + rng.normal(size=100) * 0.1}
print(sm.OLS(data["y"], sm.add_constant(x)).fit().params.round(4), smf.ols("y ~ x", data).fit().rsquared.round(5))
