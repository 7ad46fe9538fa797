"""How fast transformers makes vectors of texts of these lengths, as sentence-transformers does it: sorted by length, 32 at a time, padded
to the longest, the mean over the tokens. Random weights of BERT-base: only the time counts. Ids are given, so that no tokenizer runs.

    python embed_torch.py ROUNDS THREADS LENGTH...

Prints the tokens a second (padding not counted) of each round as JSON.
"""

import json
import sys
import time

import torch
from transformers import BertConfig, BertModel

BATCH = 32


def main() -> None:
    rounds, threads, *lengths = (int(argument) for argument in sys.argv[1:])
    torch.manual_seed(0)
    torch.set_num_threads(threads)
    model = BertModel(BertConfig(vocab_size=28996), add_pooling_layer=False).eval()
    lengths.sort(reverse=True)
    rates = []
    with torch.inference_mode():
        for _ in range(rounds + 1):
            start = time.perf_counter()
            for begin in range(0, len(lengths), BATCH):
                own = torch.tensor(lengths[begin : begin + BATCH])
                longest = int(own.max())
                mask = (torch.arange(longest)[None] < own[:, None]).long()
                ids = torch.full((len(own), longest), 1385) * mask
                states = model(input_ids=ids, attention_mask=mask).last_hidden_state
                (states * mask[..., None]).sum(1) / own[:, None]
            rates.append(sum(lengths) / (time.perf_counter() - start))
    print(json.dumps(rates[1:]))


main()
