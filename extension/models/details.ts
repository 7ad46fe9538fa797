/** What a model is, as rows and as a document for people. No VS Code in here. */
import type { ModelInfo } from '../protocol/engine';
import { count, counted, fileSize } from '../protocol/format';
import type { LibraryModel } from './library';

export interface Detail {
  label: string;
  value: string;
}

const KINDS: Record<ModelInfo['kind'], string> = {
  masked: 'masked language model (both sides)',
  causal: 'causal language model (left to right)',
  encoder: 'encoder without a language-model head',
  classifier: 'classifier',
  seq2seq: 'sequence to sequence',
  unknown: 'unknown',
};

export function detailsOf(model: LibraryModel): Detail[] {
  const { info, error, ref } = model;
  const rows: Detail[] = [];
  if (error !== undefined) rows.push({ label: 'Problem', value: error.message });
  if (info !== undefined) {
    rows.push({ label: 'Kind', value: KINDS[info.kind] });
    if (info.architecture !== null) rows.push({ label: 'Architecture', value: info.architecture });
    if (info.layers !== null)
      rows.push({ label: 'Layers', value: `${info.layers}${info.heads === null ? '' : ` × ${info.heads} heads`}` });
    rows.push({ label: 'Parameters', value: count(info.parameters) });
    rows.push({ label: 'Size', value: fileSize(info.bytes) });
    if (info.vocabSize !== null) rows.push({ label: 'Vocabulary', value: count(info.vocabSize) });
    rows.push({ label: 'Longest input', value: counted(info.maxTokens, 'token') });
    if (info.tokenizer !== null) rows.push({ label: 'Tokenizer', value: info.tokenizer.type });
  }
  rows.push({ label: 'Folder', value: ref.folder });
  return rows;
}

/** Plain text, a line a fact. */
export function describe(model: LibraryModel): string {
  const lines = [model.ref.id, ''];
  for (const { label, value } of detailsOf(model)) lines.push(`${label.padEnd(14)} ${value}`);
  const { info } = model;
  if (info !== undefined) {
    lines.push(`${'File'.padEnd(14)} ${info.file}`);
    lines.push(`${'Producer'.padEnd(14)} ${info.producer} (IR ${info.irVersion})`);
    for (const [domain, version] of Object.entries(info.opset))
      lines.push(`${'Opset'.padEnd(14)} ${domain === '' ? 'ai.onnx' : domain} ${version}`);
    for (const [title, tensors] of [
      ['Inputs', info.inputs],
      ['Outputs', info.outputs],
    ] as const) {
      lines.push('', title);
      for (const { name, type, shape } of tensors) lines.push(`  ${name}  ${type}[${shape.join(', ')}]`);
    }
    if (info.hasNextSentenceHead) lines.push('', 'Has a next-sentence head.');
    if (info.notes.length > 0) lines.push('', 'Notes', ...info.notes.map((note) => `  ${note}`));
  }
  return `${lines.join('\n')}\n`;
}
