"""Cosines of sentence pairs by sentence-transformers, for test/parity/sentences.test.ts.

    pip install torch transformers sentence-transformers
    python scripts/reference/sentences.py FOLDER_OF_ALL_MINILM_L6_V2

The folder holds the PyTorch weights of all-MiniLM-L6-v2. Pooling and normalisation are the model card's: mean over all tokens, unit
length, at most 256 tokens.
"""
import json
import sys

from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import modules as models

PAIRS = [
    ("A man is playing a guitar.", "Someone is making music on an instrument."),
    ("A man is playing a guitar.", "The stock market fell sharply on Monday."),
    ("She sat on the bank of the river.", "She opened an account at the bank."),
    ("The cat sleeps on the sofa.", "A kitten is lying on the couch."),
    ("How do I reset my password?", "What should I do when I forgot my login?"),
    ("How do I reset my password?", "Where can I buy fresh vegetables?"),
    ("The Eiffel Tower is in Paris.", "Paris is the capital of France."),
    ("He ran the marathon in under three hours.", "The engine ran smoothly all day."),
    ("It is raining heavily.", "The weather is wet today."),
    ("It is raining heavily.", "The sun is shining."),
    ("Photosynthesis turns light into chemical energy.", "Plants make sugar from sunlight."),
    ("The parliament passed the law.", "The bill was rejected by the senate."),
    ("Two dogs play in the snow.", "Two dogs play in the snow."),
    ("I love this film.", "I hate this film."),
    ("Die Katze schläft.", "The cat is sleeping."),
    ("naïve café 日本 😀", "A small coffee shop in Japan."),
    ("", "An empty sentence stands against this one."),
    ("word " * 300, "The same word again and again."),
    ("A transformer has layers of attention.", "The power station needs a new transformer."),
    ("UPPER CASE TEXT", "upper case text"),
]


def main(folder):
    transformer = models.Transformer(folder, max_seq_length=256)
    pooling = models.Pooling(384, "mean")
    model = SentenceTransformer(modules=[transformer, pooling, models.Normalize()], device="cpu")
    cosines = []
    for pair in PAIRS:
        # One by one: padding changes the last digits.
        first, second = (model.encode([text])[0].astype("float64") for text in pair)
        cosines.append(float(first @ second / ((first @ first) ** 0.5 * (second @ second) ** 0.5)))
    with open("test/fixtures/embeddings/sentences.json", "w", encoding="utf-8") as file:
        json.dump([{"pair": pair, "cosine": cosine} for pair, cosine in zip(PAIRS, cosines)], file, ensure_ascii=False, indent=1)
    print(cosines)


if __name__ == "__main__":
    main(sys.argv[1])
