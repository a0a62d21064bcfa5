from nltk import ngrams
from nltk.metrics import edit_distance
from nltk.stem import PorterStemmer
from nltk.tokenize import wordpunct_tokenize

words = wordpunct_tokenize("The cats are running, running far.")
print([PorterStemmer().stem(word) for word in words], list(ngrams(words, 2))[:2], edit_distance("kitten", "sitting"))
