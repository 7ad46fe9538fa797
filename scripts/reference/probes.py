"""Relation probes once more, by other means: the `tokenizers` library, onnxruntime in Python and numpy, written from the papers.

    python scripts/reference/probes.py MODEL_FOLDER LAMA_FOLDER OUT.json

LAMA_FOLDER holds relations.jsonl, trex/, pararel_patterns/ and optiprompt_relation_metainfo/common_vocab_cased.txt. OUT.json gets numbers
only, no facts: for the first FACTS facts of each relation P@1, P@10 and MRR in the common vocabulary (Petroni et al. 2019), and
ParaRel's consistency, accuracy and both (Elazar et al. 2021) among all answers of the relation's file.
"""
import itertools
import json
import sys

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

RELATIONS = ['P36', 'P463', 'P264']
FACTS = 40
BATCH = 32


def read_jsonl(path):
    with open(path, encoding='utf-8') as file:
        return [json.loads(line) for line in file if line.strip()]


def open_model(folder):
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry('session.disable_quant_qdq', '1')
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(f'{folder}/model.onnx', options, providers=['CPUExecutionProvider'])
    return session, Tokenizer.from_file(f'{folder}/tokenizer.json')


def log_probabilities(model, sentences):
    """[N, V] at the mask of each sentence."""
    session, tokenizer = model
    mask = tokenizer.token_to_id('[MASK]')
    names = {value.name for value in session.get_inputs()}
    rows = []
    for start in range(0, len(sentences), BATCH):
        encodings = [tokenizer.encode(text) for text in sentences[start:start + BATCH]]
        length = max(len(encoding.ids) for encoding in encodings)
        ids = np.zeros((len(encodings), length), np.int64)
        attention = np.zeros_like(ids)
        for row, encoding in enumerate(encodings):
            ids[row, :len(encoding.ids)] = encoding.ids
            attention[row, :len(encoding.ids)] = 1
        feeds = {'input_ids': ids, 'attention_mask': attention, 'token_type_ids': np.zeros_like(ids)}
        logits = session.run(['logits'], {name: feeds[name] for name in names})[0]
        for row, encoding in enumerate(encodings):
            values = logits[row, encoding.ids.index(mask)].astype(np.float64)
            values -= values.max()
            rows.append(values - np.log(np.exp(values).sum()))
    return rows


def rank(row, allowed, gold):
    """Equal values are ordered by id."""
    better = sum(1 for other in allowed if row[other] > row[gold] or (row[other] == row[gold] and other < gold))
    return better + 1


def main(folder, lama, out):
    model = open_model(folder)
    to_id = model[1].token_to_id
    with open(f'{lama}/optiprompt_relation_metainfo/common_vocab_cased.txt', encoding='utf-8') as file:
        vocabulary = [to_id(word) for word in (line.strip() for line in file) if word and to_id(word) is not None]
    templates = {each['relation']: each['template'] for each in read_jsonl(f'{lama}/relations.jsonl')}
    results = {}
    for relation in RELATIONS:
        facts = {(each['sub_label'], each['obj_label']): None for each in read_jsonl(f'{lama}/trex/{relation}.jsonl')}
        facts = [(subject, answer) for subject, answer in facts if to_id(answer) is not None]
        candidates = sorted({to_id(answer) for _, answer in facts})
        facts = facts[:FACTS]
        patterns = [each['pattern'] for each in read_jsonl(f'{lama}/pararel_patterns/{relation}.jsonl')]
        prompts = list(dict.fromkeys([templates[relation], *patterns]))
        by_prompt = {
            prompt: log_probabilities(model, [prompt.replace('[X]', x).replace('[Y]', '[MASK]') for x, _ in facts])
            for prompt in prompts
        }
        golds = [to_id(answer) for _, answer in facts]
        ranks = [rank(row, vocabulary, gold) for row, gold in zip(by_prompt[templates[relation]], golds)]
        choices = [[max(candidates, key=lambda id: (row[id], -id)) for row in by_prompt[prompt]] for prompt in patterns]
        same = pairs = accurate = both = 0
        for index, (_, answer) in enumerate(facts):
            vowel = answer[0].lower() in 'aeiou'
            usable = [
                chosen[index]
                for prompt, chosen in zip(patterns, choices)
                if not ((' a [Y]' in prompt and vowel) or (' an [Y]' in prompt and not vowel))
            ]
            for a, b in itertools.permutations(range(len(usable)), 2):
                pairs += 1
                same += usable[a] == usable[b]
            accurate += usable[0] == golds[index]
            both += all(choice == golds[index] for choice in usable)
        results[relation] = {
            'n': len(facts),
            'p1': float(np.mean([value == 1 for value in ranks])),
            'p10': float(np.mean([value <= 10 for value in ranks])),
            'mrr': float(np.mean([1 / value if value <= 1000 else 0 for value in ranks])),
            'mean_logprob': float(np.mean([row[gold] for row, gold in zip(by_prompt[templates[relation]], golds)])),
            'patterns': len(patterns),
            'consistency': same / pairs,
            'accuracy': accurate / len(facts),
            'both': both / len(facts),
        }
        print(relation, results[relation], flush=True)
    with open(out, 'w', encoding='utf-8') as file:
        json.dump({'model': 'bert-base-cased (int8 weights, float32 arithmetic)', 'facts': FACTS, 'relations': results}, file, indent=2)
        file.write('\n')


main(*sys.argv[1:])
