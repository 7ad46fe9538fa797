"""Times of PyTorch (eager) that returns the same tensors as a trace.

    python scripts/reference/trace_torch.py KIND ROUNDS THREADS T...

KIND: `patterns` (all attention patterns and the logits) or `hooks` (also what every linear layer and norm of every block gives, which is
what the hooks of a block are). The weights of BERT-base-cased's shape are random: only the time is of interest. Prints one JSON line a T.
"""
import json
import sys
import time

import torch
from transformers import BertConfig, BertForMaskedLM


def main(kind, rounds, threads, lengths):
    torch.set_num_threads(threads)
    model = BertForMaskedLM(BertConfig(vocab_size=28996, attn_implementation='eager')).eval()
    kept = []
    if kind == 'hooks':
        for block in model.bert.encoder.layer:
            for module in block.modules():
                if isinstance(module, (torch.nn.Linear, torch.nn.LayerNorm, torch.nn.GELU)) or 'Activation' in type(module).__name__:
                    module.register_forward_hook(lambda module, inputs, output: kept.append(output))
    with torch.inference_mode():
        for length in lengths:
            ids = torch.full((1, length), 1385)
            mask = torch.ones_like(ids)
            times = []
            for _ in range(rounds + 1):
                kept.clear()
                started = time.perf_counter()
                output = model(input_ids=ids, attention_mask=mask, output_attentions=True)
                times.append(time.perf_counter() - started)
                assert len(output.attentions) == 12
            print(json.dumps({'T': length, 'ms': sorted(times[1:])[rounds // 2] * 1000, 'tensors': len(kept)}), flush=True)


if __name__ == '__main__':
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), [int(each) for each in sys.argv[4:]])
