import jax
import jax.numpy as jnp

print(jax.jit(lambda x: (x * x).sum())(jnp.arange(4.0)), jax.grad(lambda x: x**3)(2.0), jax.vmap(jnp.sin)(jnp.zeros(3)))
