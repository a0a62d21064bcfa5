import spacy

nlp = spacy.blank("en")
nlp.add_pipe("sentencizer")
doc = nlp("Hello there. It's a test, isn't it?")
print([token.text for token in doc], [str(sentence) for sentence in doc.sents])
