import gmpy2

print(gmpy2.is_prime(2**127 - 1), gmpy2.next_prime(10**20), gmpy2.isqrt(10**30), gmpy2.sqrt(gmpy2.mpfr(2)))
