"""Facts a second of PyTorch and transformers on LAMA's queries, the plain loop and the best one that we could write.

    python scripts/reference/lama_torch.py TOKENIZER_FOLDER QUERIES.txt THREADS

QUERIES.txt has one sentence with [MASK] a line. The weights are random: only the time is of interest. Prints one JSON line a loop.
"""
import json
import sys
import time

import torch
from tokenizers import Tokenizer
from transformers import BertConfig, BertForMaskedLM

BATCH = 32
TOKENS = 512


def pad(rows):
    length = max(map(len, rows))
    ids = torch.tensor([row + [0] * (length - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (length - len(row)) for row in rows])
    return ids, mask


def plain(model, rows, mask_id):
    """File order, batches of 32, padded, logits everywhere."""
    for start in range(0, len(rows), BATCH):
        ids, attention = pad(rows[start:start + BATCH])
        logits = model(input_ids=ids, attention_mask=attention).logits
        torch.log_softmax(logits[ids == mask_id], -1).topk(10)


def best(model, rows, mask_id):
    """Sorted by length, batches of a number of tokens, the head at the mask only."""
    rows = sorted(rows, key=len)
    start = 0
    while start < len(rows):
        end = start + 1
        while end < len(rows) and (end + 1 - start) * len(rows[end]) <= TOKENS:
            end += 1
        ids, attention = pad(rows[start:end])
        hidden = model.bert(input_ids=ids, attention_mask=attention).last_hidden_state
        torch.log_softmax(model.cls(hidden[ids == mask_id]), -1).topk(10)
        start = end


def main(folder, queries, threads):
    torch.set_num_threads(int(threads))
    tokenizer = Tokenizer.from_file(f'{folder}/tokenizer.json')
    model = BertForMaskedLM(BertConfig(vocab_size=28996)).eval()
    with open(queries, encoding='utf-8') as file:
        rows = [tokenizer.encode(line.strip()).ids for line in file]
    mask_id = tokenizer.token_to_id('[MASK]')
    with torch.inference_mode():
        best(model, rows[:64], mask_id)
        for name, loop in (('plain', plain), ('best', best)):
            started = time.perf_counter()
            loop(model, rows, mask_id)
            print(json.dumps({'loop': name, 'facts_per_second': len(rows) / (time.perf_counter() - started)}), flush=True)


main(*sys.argv[1:])
