"""What heads do on texts and treebanks, computed apart from the product: NumPy on attentions from PyTorch.

    python heads.py model CHECKPOINT FILE.conllu --limit 50 > relations.json
        CHECKPOINT: what transformers loads, or a name of its hub; eager attention in float32.
    python heads.py fixture test/fixtures/bert test/fixtures/heads/sentences.conllu > expected.json
        Patterns are those that PyTorch left in the fixture's reference.safetensors; the treebank's sentences are its texts.

Definitions: Clark et al. 2019 (word map: sum to pieces, mean from pieces; specials and the diagonal left out; arg-max of the row or of
the column against the head; best fixed offset), roots and punctuation not scored. Pieces belong to the word in which they begin.
Coreference: among the head words of earlier mentions in the passage, the one looked at most. Statistics: sums over keys divided by n.
"""
import argparse
import collections
import json
import re

import numpy as np

MOST_OFFSET = 10


def read_conllu(path):
    """Sentences as dicts: text, spans of words, heads (0-based, -1 root), relations, misc."""
    for block in re.split(r'\n\s*\n', open(path, encoding='utf-8').read().strip()):
        rows = [line.split('\t') for line in block.split('\n') if not line.startswith('#')]
        words = [row for row in rows if row[0].isdigit()]
        if not words:
            continue
        surface, covered = [], set()  # (form, glued, number of words)
        for row in rows:
            if '-' in row[0]:
                first, last = map(int, row[0].split('-'))
                surface.append((row[1], 'SpaceAfter=No' in row[9].split('|'), last - first + 1))
                covered.update(range(first, last + 1))
            elif row[0].isdigit() and int(row[0]) not in covered:
                surface.append((row[1], 'SpaceAfter=No' in row[9].split('|'), 1))
        text, spans, at = '', [], 0
        for place, (form, glued, count) in enumerate(surface):
            begin = len(text)
            text += form + ('' if glued or place == len(surface) - 1 else ' ')
            forms = [words[at + k][1] for k in range(count)]
            offset = begin
            for each in forms:
                spans.append((offset, offset + len(each)) if ''.join(forms) == form else (begin, begin + len(form)))
                offset += len(each)
            at += count
        yield {
            'text': text,
            'spans': spans,
            'heads': [int(row[6]) - 1 if row[6].isdigit() else None for row in words],
            'relations': [row[7] for row in words],
            'forms': [row[1] for row in words],
            'misc': [row[9] for row in words],
        }


def word_map(pattern, groups):
    """[H,T,T] → [H,W,W] in float64; words without pieces have rows and columns of NaN."""
    pattern = pattern.astype(np.float64)
    count = len(groups)
    result = np.full((len(pattern), count, count), np.nan)
    for a in range(count):
        for b in range(count):
            if groups[a] and groups[b]:
                result[:, a, b] = pattern[:, groups[a]][:, :, groups[b]].sum(2).mean(1)
    return result


def group_pieces(offsets, spans):
    groups, used = [], set()
    for begin, end in spans:
        own = [t for t, (s, e) in enumerate(offsets) if e > s and begin <= s < end and t not in used]
        used.update(own)
        groups.append(own)
    return groups


def arg_max(rows):
    """Index of the largest number, the first of equal ones; NaN counts as none."""
    return np.where(np.isnan(rows), -1, rows).argmax(-1)


class Relations:
    def __init__(self, heads):
        self.n = collections.Counter()
        self.right = collections.defaultdict(lambda: np.zeros((2, heads), int))
        self.offsets = collections.defaultdict(collections.Counter)

    def add(self, sentence, words):
        count = words.shape[1]
        masked = words.copy()
        masked[:, range(count), range(count)] = np.nan
        by_row, by_column = arg_max(masked), arg_max(masked.transpose(0, 2, 1))
        for word, (head, relation) in enumerate(zip(sentence['heads'], sentence['relations'])):
            if head is None or head < 0 or relation in ('root', 'punct'):
                continue
            if np.isnan(words[0, word, word]) or np.isnan(words[0, head, head]):
                continue
            for key in (relation, 'all'):
                self.n[key] += 1
                self.offsets[key][head - word] += 1
                self.right[key][0] += by_row[:, word] == head
                self.right[key][1] += by_column[:, word] == head

    def table(self, heads_per_layer):
        for relation in sorted(self.n, key=lambda key: (-self.n[key], key != 'all', key)):
            n, right = self.n[relation], self.right[relation]
            better = right.max(0)
            best = int(better.argmax())
            offsets = [o for o in range(-MOST_OFFSET, MOST_OFFSET + 1) if o != 0]
            offset = max(offsets, key=lambda o: (self.offsets[relation][o], -o))
            yield {
                'relation': relation,
                'n': n,
                'head': f'L{best // heads_per_layer}H{best % heads_per_layer}',
                'direction': 'dependent→head' if right[0, best] == better[best] else 'head→dependent',
                'accuracy': int(better[best]) / n,
                'baseline': self.offsets[relation][offset] / n,
                'offset': offset,
                'right': right.ravel().tolist(),
            }


def mention_words(sentence):
    """Head word → clusters, from GUM's Entity annotations with the cluster as their first field."""
    found, stack = collections.defaultdict(set), []

    def close(cluster, first, last):
        for word in range(first, last + 1):
            head = sentence['heads'][word]
            if head is not None and not first <= head <= last:
                found[word].add(cluster)
                return

    for word, misc in enumerate(sentence['misc']):
        entity = next((part[7:] for part in misc.split('|') if part.startswith('Entity=')), '')
        for part in re.findall(r'\([^()]*\)|\([^()]*|[^()]+\)', entity):
            cluster = part.strip('()').split('-')[0]
            if part.startswith('('):
                stack.append((cluster, word))
            if part.endswith(')'):
                place = max(k for k, (open_, _) in enumerate(stack) if open_ == cluster)
                close(cluster, stack.pop(place)[1], word)
    return found


def coreference(sentence, words):
    """n, right answers of the nearest mention, and of each head."""
    mentions = sorted(mention_words(sentence).items())
    n, nearest, right = 0, 0, np.zeros(len(words), int)
    for place, (word, clusters) in enumerate(mentions):
        earlier = [(other, bool(own & clusters)) for other, own in mentions[:place]]
        if not any(same for _, same in earlier):
            continue
        n += 1
        nearest += earlier[-1][1]
        answers = arg_max(words[:, word][:, [other for other, _ in earlier]])
        right += np.array([earlier[answer][1] for answer in answers])
    return n, nearest, right


def statistics(pattern, tokens):
    """Per head [H]: Clark et al.'s means over one document. The first token of a text is a special one, and no separator."""
    a = pattern.astype(np.float64)
    n = len(tokens)
    special = np.array([token in ('[CLS]', '[SEP]') for token in tokens])
    separator = special.copy()
    separator[0] = False
    punctuation = np.array([token in ('.', ',') for token in tokens])
    smooth = .9999 * a + .0001 / n
    return {
        'previous': np.trace(a, -1, 1, 2) / n,
        'next': np.trace(a, 1, 1, 2) / n,
        'same': np.trace(a, 0, 1, 2) / n,
        'special': a[:, :, special].sum((1, 2)) / n,
        'punctuation': a[:, :, punctuation].sum((1, 2)) / n,
        'separator': a[:, :, separator].sum((1, 2)) / n,
        'separatorToSeparator': a[:, separator][:, :, separator].sum((1, 2)) / separator.sum(),
        'entropy': -(smooth * np.log(smooth)).sum(2).mean(1),
    }


def distances(pattern):
    """Σ over rows of the Jensen–Shannon divergence of each pair of heads."""
    a = .999 * pattern.astype(np.float64) + .001 / pattern.shape[-1]
    first, second = a[:, None], a[None]
    mean = (first + second) / 2
    return ((first * np.log(first / mean) + second * np.log(second / mean)) / 2).sum((2, 3))


def model_patterns(checkpoint):
    import torch
    from transformers import AutoModel, AutoTokenizer
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    model = AutoModel.from_pretrained(checkpoint, attn_implementation='eager', dtype=torch.float32).eval()

    def patterns(sentence):
        batch = tokenizer(sentence['text'], return_tensors='pt', return_offsets_mapping=True)
        offsets = batch.pop('offset_mapping')[0].tolist()
        with torch.no_grad():
            layers = model(**batch, output_attentions=True).attentions
        return torch.cat([layer[0] for layer in layers]).numpy(), offsets, None

    return patterns, model.config.num_attention_heads


def fixture_patterns(folder):
    from safetensors.numpy import load_file
    meta = json.load(open(f'{folder}/reference.json'))
    tensors = load_file(f'{folder}/reference.safetensors')
    places = {text: (case, row) for case in meta['cases'] for row, text in enumerate(case['text']) if isinstance(text, str)}

    def patterns(sentence):
        case, row = places[sentence['text']]
        tokens, offsets = case['tokens'][row], case['offsets'][row]
        n = len(tokens)
        layers = [tensors[f'{case["id"]}/blocks.{layer}.attn.hook_pattern'][row] for layer in range(meta['layers'])]
        return np.concatenate(layers)[:, :n, :n], offsets, tokens

    return patterns, meta['heads']


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('kind', choices=['model', 'fixture'])
    parser.add_argument('model')
    parser.add_argument('treebank')
    parser.add_argument('--limit', type=int)
    options = parser.parse_args()
    patterns, heads_per_layer = (model_patterns if options.kind == 'model' else fixture_patterns)(options.model)
    relations, mentions, documents, apart = None, [0, 0, 0], [], 0
    sentences = list(read_conllu(options.treebank))[:options.limit]
    for sentence in sentences:
        pattern, offsets, tokens = patterns(sentence)
        words = word_map(pattern, group_pieces(offsets, sentence['spans']))
        relations = relations or Relations(len(pattern))
        relations.add(sentence, words)
        if options.kind == 'fixture':  # every sentence of its treebank is a document
            mentions = [a + b for a, b in zip(mentions, coreference(sentence, words))]
            documents.append(statistics(pattern, tokens))
            apart = apart + distances(pattern)
    result = {'sentences': len(sentences), 'table': list(relations.table(heads_per_layer))}
    if options.kind == 'fixture':
        result['coreference'] = {'n': mentions[0], 'nearest': int(mentions[1]), 'right': mentions[2].tolist()}
        result['statistics'] = {name: np.mean([each[name] for each in documents], 0).tolist() for name in documents[0]}
        result['distances'] = apart.ravel().tolist()
    print(json.dumps(result, ensure_ascii=False))


if __name__ == '__main__':
    main()
