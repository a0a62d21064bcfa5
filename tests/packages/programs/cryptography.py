from cryptography.fernet import Fernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

f = Fernet(Fernet.generate_key())
print(f.decrypt(f.encrypt(b"secret")))
key = ed25519.Ed25519PrivateKey.generate()
key.public_key().verify(key.sign(b"m"), b"m")
digest = hashes.Hash(hashes.SHA256())
digest.update(b"a")
print(digest.finalize().hex()[:16], rsa.generate_private_key(65537, 2048).key_size)
